// BullMQ with a hash tag for a prefix: workers, delays, retries, flows, events.
const { FlowProducer, Queue, QueueEvents, Worker } = require('bullmq')
const { assert, numbers, run, until } = require(`${process.env.PYTHONPATH}/steps.js`)

const connection = { host: '127.0.0.1', port: +process.argv[2], maxRetriesPerRequest: null }
const options = { connection, prefix: process.argv[3] }
const queue = new Queue('work', options)
const events = new QueueEvents('work', options)
const done = job => job.waitUntilFinished(events, 10000)
const attempts = {}

const worker = new Worker('work', async job => {
  attempts[job.id] = (attempts[job.id] || 0) + 1
  if (job.name === 'flaky' && attempts[job.id] < 3) throw new Error('not yet')
  if (job.name === 'broken') throw new Error('as it was meant to')
  if (job.name === 'sum') return Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0)
  return job.data.n * 2
}, options)

run({
  async job () {
    await events.waitUntilReady()
    assert.equal(await done(await queue.add('double', { n: 21 })), 42)
  },
  async many () {
    const jobs = await queue.addBulk(numbers(50).map(n => ({ name: 'double', data: { n } })))
    await until(async () => (await queue.getCompletedCount()) >= 51)
    const again = await queue.getJob(jobs[7].id)
    assert.equal(again.returnvalue, 14)
  },
  async retry () {
    const job = await queue.add('flaky', { n: 1 }, { attempts: 5, backoff: 50 })
    assert.equal(await done(job), 2)
    assert.equal(attempts[job.id], 3)
  },
  async failure () {
    await assert.rejects(done(await queue.add('broken', {})), /as it was meant to/)
    assert.equal(await queue.getFailedCount(), 1)
  },
  async delay () {
    const job = await queue.add('double', { n: 1 }, { delay: 500 })
    assert.equal(await job.getState(), 'delayed')
    assert.equal(await done(job), 2)
  },
  async priority () {
    const jobs = await queue.addBulk(numbers(10).map(n => ({ name: 'double', data: { n }, opts: { priority: n + 1 } })))
    await until(async () => (await Promise.all(jobs.map(job => job.isCompleted()))).every(Boolean))
  },
  async flow () {
    const flow = new FlowProducer(options)
    const tree = await flow.add({
      name: 'sum',
      queueName: 'work',
      children: numbers(5).map(n => ({ name: 'double', data: { n }, queueName: 'work' }))
    })
    assert.equal(await done(tree.job), 20)
    await flow.close()
  },
  async repeat () {
    await queue.upsertJobScheduler('tick', { every: 200, limit: 2 }, { name: 'double', data: { n: 3 } })
    await until(async () => (await queue.getJobs(['completed'])).some(job => job.repeatJobKey === 'tick'))
    await queue.removeJobScheduler('tick')
  },
  async pause () {
    await queue.pause()
    const job = await queue.add('double', { n: 4 })
    assert.equal(await queue.isPaused(), true)
    await queue.resume()
    assert.equal(await done(job), 8)
  },
  async obliterate () {
    await worker.close()
    await queue.obliterate({ force: true })
    assert.equal(await queue.count(), 0)
  }
})
