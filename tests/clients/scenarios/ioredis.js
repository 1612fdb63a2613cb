// ioredis with its own defaults: `node ioredis.js PORT`.
const Redis = require('ioredis')
const { assert, EVERY_BYTE, LARGE, MANY, numbers, restart, run, sleep, until } = require('./steps.js')

const port = +process.argv[2]
const open = (options = {}) => new Redis(port, '127.0.0.1', options)
const client = open()

run({
  async connect () {
    assert.equal(await client.ping(), 'PONG')
    assert.match(await client.info(), /redis_version:/)
    const named = open({ connectionName: 'scenario', db: 1, lazyConnect: true })
    await named.connect()
    assert.equal(await named.client('GETNAME'), 'scenario')
    assert.equal(await named.set('connect', 'one'), 'OK')
    assert.equal(await named.del('connect'), 1)
    await named.quit()
  },
  async pipeline () {
    const writes = client.pipeline()
    for (const n of numbers(MANY)) writes.set(`many:${n}`, n)
    assert((await writes.exec()).every(([error, reply]) => !error && reply === 'OK'))
    const reads = client.pipeline()
    for (const n of numbers(MANY)) reads.get(`many:${n}`)
    assert((await reads.exec()).every(([error, reply], n) => !error && reply === String(n)))
    const automatic = open({ enableAutoPipelining: true })
    const read = await Promise.all(numbers(1000).map(n => automatic.get(`many:${n}`)))
    assert(read.every((reply, n) => reply === String(n)))
    automatic.disconnect()
    assert.equal(await client.del(...numbers(1000).map(n => `many:${n}`)), 1000)
    await assert.rejects(client.call('NOSUCH'), /unknown command/)
  },
  async transaction () {
    await client.del('{t}n')
    assert.deepEqual(await client.multi().incr('{t}n').incrby('{t}n', 4).get('{t}n').exec(),
      [[null, 1], [null, 5], [null, '5']])
    await client.multi({ pipeline: false })
    assert.equal(await client.incr('{t}n'), 'QUEUED')
    assert.deepEqual(await client.exec(), [[null, 6]])
    const mixed = await client.multi().lpush('{t}n', 'x').get('{t}n').exec()
    assert.match(mixed[0][0].message, /WRONGTYPE/)
    assert.equal(mixed[1][1], '6')
    const watcher = open()
    await watcher.watch('{t}n')
    await client.set('{t}n', 'changed')
    assert.equal(await watcher.multi().set('{t}n', 'lost').exec(), null)
    watcher.disconnect()
    assert.equal(await client.get('{t}n'), 'changed')
  },
  async pubsub () {
    const listener = open()
    const heard = []
    listener.on('messageBuffer', (channel, data) => heard.push(data))
    listener.on('pmessage', (pattern, channel, data) => heard.push(`${pattern} ${channel} ${data}`))
    assert.equal(await listener.subscribe('news:js', 'more:js'), 2)
    assert.equal(await listener.psubscribe('js:*'), 3)
    assert.equal(await client.publish('news:js', EVERY_BYTE), 1)
    await until(() => heard.length === 1) // the channels live on two nodes: one may overtake the other
    assert.equal(await client.publish('js:x', 'p'), 1)
    await until(() => heard.length === 2)
    assert.deepEqual(heard, [EVERY_BYTE, 'js:* js:x p'])
    assert.equal(await listener.unsubscribe('news:js'), 2)
    assert.equal(await client.publish('news:js', 'gone'), 0)
    listener.disconnect()
  },
  async blocking () {
    await client.del('{b}l', '{b}m')
    const waiter = open()
    const popped = waiter.blpop('{b}m', '{b}l', 5)
    await sleep(50)
    await client.rpush('{b}l', 'one')
    assert.deepEqual(await popped, ['{b}l', 'one'])
    assert.equal(await waiter.brpop('{b}l', 0.05), null)
    const moved = waiter.blmove('{b}l', '{b}m', 'LEFT', 'RIGHT', 5)
    await sleep(50)
    await client.rpush('{b}l', 'two')
    assert.equal(await moved, 'two')
    waiter.disconnect()
  },
  async scan () {
    await client.mset(new Map(numbers(1000).map(n => [`scan:${n}`, n])))
    const found = new Set()
    for await (const keys of client.scanStream({ match: 'scan:*', count: 100 })) keys.forEach(key => found.add(key))
    assert.equal(found.size, 1000)
    assert.equal((await client.keys('scan:*')).length, 1000)
    assert(await client.dbsize() >= 1000)
  },
  async script () {
    await client.script('FLUSH')
    client.defineCommand('add', { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" })
    const keys = numbers(20).map(n => `script:${n}`)
    await client.del(...keys)
    assert.deepEqual(await Promise.all(keys.map(key => client.add(key, 3))), keys.map(() => 3))
    await client.script('FLUSH')
    const pipeline = client.pipeline()
    for (const key of keys) pipeline.add(key, 4)
    assert.deepEqual((await pipeline.exec()).map(([, reply]) => reply), keys.map(() => 7))
  },
  async binary () {
    assert.equal(await client.set(EVERY_BYTE, EVERY_BYTE), 'OK')
    assert.deepEqual(await client.getBuffer(EVERY_BYTE), EVERY_BYTE)
  },
  async large () {
    assert.equal(await client.set('large', LARGE), 'OK')
    assert(LARGE.equals(await client.getBuffer('large')))
    assert.equal(await client.del('large'), 1)
  },
  async restart () {
    const listener = open()
    const heard = []
    listener.on('message', (_, data) => heard.push(data))
    await listener.subscribe('through')
    await restart()
    for (const n of numbers(30)) await until(() => client.set(`again:${n}`, n))
    await until(async () => await client.publish('through', 'heard') && heard.includes('heard'))
    listener.disconnect()
  }
})
