// node-redis with its own defaults: `node node_redis.js PORT PROTOCOL`.
const { createClient, RESP_TYPES } = require('redis')
const { assert, EVERY_BYTE, LARGE, MANY, numbers, restart, run, sleep, until } = require('./steps.js')

const [port, RESP] = process.argv.slice(2).map(Number)
const open = (options = {}) =>
  createClient({ url: `redis://127.0.0.1:${port}`, RESP, ...options }).on('error', () => {}).connect()

async function main () {
  const client = await open()
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  await run({
    async connect () {
      assert.equal(await client.ping(), 'PONG')
      assert.match(await client.info(), /redis_version:/)
      const named = await open({ name: 'scenario', database: 1 })
      assert.equal(await named.clientGetName(), 'scenario')
      assert.equal(await named.set('connect', 'one'), 'OK')
      assert.equal(await named.del('connect'), 1)
      await named.close()
    },
    async pipeline () {
      const stored = await Promise.all(numbers(MANY).map(n => client.set(`many:${n}`, String(n))))
      assert(stored.every(reply => reply === 'OK'))
      const batch = client.multi()
      for (const n of numbers(MANY)) batch.get(`many:${n}`)
      assert.deepEqual(await batch.execAsPipeline(), numbers(MANY).map(String))
      assert.equal(await client.del(numbers(1000).map(n => `many:${n}`)), 1000)
      await assert.rejects(client.sendCommand(['NOSUCH']), /unknown command/)
    },
    async transaction () {
      await client.del('{t}n')
      assert.deepEqual(await client.multi().incr('{t}n').incrBy('{t}n', 4).get('{t}n').exec(), [1, 5, '5'])
      const watcher = await open()
      await watcher.watch('{t}n')
      await client.set('{t}n', 'changed')
      await assert.rejects(watcher.multi().set('{t}n', 'lost').exec(), /watched keys has been changed/)
      await watcher.watch('{t}n')
      assert.deepEqual(await watcher.multi().set('{t}n', 'last').exec(), ['OK'])
      await watcher.close()
      assert.equal(await client.get('{t}n'), 'last')
    },
    async pubsub () {
      const listener = await open()
      const heard = []
      await listener.subscribe('news:js', data => heard.push(data), true)
      await listener.pSubscribe('js:*', (data, channel) => heard.push(`${channel} ${data}`))
      assert.equal(await client.publish('news:js', EVERY_BYTE), 1)
      await until(() => heard.length === 1) // the channels live on two nodes: one may overtake the other
      assert.equal(await client.publish('js:x', 'p'), 1)
      await until(() => heard.length === 2)
      assert.deepEqual(heard, [EVERY_BYTE, 'js:x p'])
      await listener.unsubscribe('news:js')
      assert.equal(await client.publish('news:js', 'gone'), 0)
      listener.destroy()
    },
    async blocking () {
      await client.del(['{b}l', '{b}m'])
      const waiter = await open()
      const popped = waiter.blPop(['{b}m', '{b}l'], 5)
      await sleep(50)
      await client.rPush('{b}l', 'one')
      assert.deepEqual({ ...await popped }, { key: '{b}l', element: 'one' })
      assert.equal(await waiter.brPop('{b}l', 0.05), null)
      const moved = waiter.blMove('{b}l', '{b}m', 'LEFT', 'RIGHT', 5)
      await sleep(50)
      await client.rPush('{b}l', 'two')
      assert.equal(await moved, 'two')
      waiter.destroy()
    },
    async scan () {
      await client.mSet(numbers(1000).map(n => [`scan:${n}`, String(n)]))
      const found = new Set()
      for await (const keys of client.scanIterator({ MATCH: 'scan:*', COUNT: 100 })) keys.forEach(key => found.add(key))
      assert.equal(found.size, 1000)
      assert.equal((await client.keys('scan:*')).length, 1000)
      assert(await client.dbSize() >= 1000)
    },
    async script () {
      await client.scriptFlush()
      const sha = await client.scriptLoad("return redis.call('INCRBY', KEYS[1], ARGV[1])")
      const keys = numbers(20).map(n => `script:${n}`)
      await client.del(keys)
      const added = await Promise.all(keys.map(key => client.evalSha(sha, { keys: [key], arguments: ['3'] })))
      assert.deepEqual(added, keys.map(() => 3))
      assert.deepEqual(await client.eval('return {KEYS[1], ARGV[1]}', { keys: ['k'], arguments: ['a'] }), ['k', 'a'])
    },
    async binary () {
      assert.equal(await client.set(EVERY_BYTE, EVERY_BYTE), 'OK')
      assert.deepEqual(await bytes.get(EVERY_BYTE), EVERY_BYTE)
    },
    async large () {
      assert.equal(await client.set('large', LARGE), 'OK')
      assert(LARGE.equals(await bytes.get('large')))
      assert.equal(await client.del('large'), 1)
    },
    async restart () {
      const listener = await open()
      const heard = []
      await listener.subscribe('through', data => heard.push(data))
      await restart()
      for (const n of numbers(30)) await until(() => client.set(`again:${n}`, String(n)))
      await until(async () => await client.publish('through', 'heard') && heard.includes('heard'))
      listener.destroy()
    }
  })
}

main()
