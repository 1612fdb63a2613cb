// What the scenarios for Node.js share; the twin of steps.py.
const assert = require('node:assert/strict')
const readline = require('node:readline')

const MANY = 10000
const LARGE = Buffer.alloc(10 << 20, '0123456789abcdef')
const EVERY_BYTE = Buffer.from([...Array(256).keys()])
const numbers = count => [...Array(count).keys()]
const sleep = ms => new Promise(done => setTimeout(done, ms))

// Run the steps one after another and print a verdict for each.
async function run (steps) {
  for (const [name, body] of Object.entries(steps)) {
    const started = Date.now()
    let timer
    try {
      const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('timed out')), 15000) })
      await Promise.race([body(), late])
      console.log(`ok ${name} (${((Date.now() - started) / 1000).toFixed(2)} s)`)
    } catch (error) {
      const where = /scenarios\/(\w+\.js:\d+)/.exec(error.stack || '')
      console.log(`failed ${name}: ${where && where[1]}: ${String(error.message).slice(0, 300).replaceAll('\n', ' ')}`)
    } finally {
      clearTimeout(timer)
    }
  }
  process.exit() // whatever a failed step left open
}

// The first true result of `call`; errors are another try.
async function until (call, within = 10000) {
  const deadline = Date.now() + within
  for (;;) {
    let last = new Error('it did not come true')
    try {
      const result = await call()
      if (result) return result
    } catch (error) {
      last = error
    }
    if (Date.now() > deadline) throw last
    await sleep(50)
  }
}

// Have a node killed and started again.
function restart () {
  const lines = readline.createInterface({ input: process.stdin })
  const restarted = new Promise(resolve => lines.once('line', line => { lines.close(); resolve(line) }))
  console.log('restart')
  return restarted
}

module.exports = { assert, EVERY_BYTE, LARGE, MANY, numbers, restart, run, sleep, until }
