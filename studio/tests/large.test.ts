import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'
import { expect, made, signedIn, test } from './fixtures'
import { Server } from './server'
import { patience } from './patience'

interface TraceEvent {
  name: string
  ph: string
  pid: number
  tid: number
  ts: number
  dur?: number
  tdur?: number
  args: { name?: string }
}

//! Milliseconds of processor time of the page's tasks, the longest first: what they took by the clock would say more
//! about what else the machine did.
function tasksOf(trace: Buffer): number[] {
  const events: TraceEvent[] = JSON.parse(trace.toString()).traceEvents
  const renderers = new Set(
    events.filter((e) => e.name === 'thread_name' && e.args.name === 'CrRendererMain').map((e) => `${e.pid}/${e.tid}`),
  )
  return events
    .filter((e) => e.ph === 'X' && e.name.endsWith('RunTask') && renderers.has(`${e.pid}/${e.tid}`))
    .map((e) => (e.tdur ?? e.dur ?? 0) / 1000)
    .sort((a, b) => b - a)
}

const wanted = 1000
const longest = 100

test('a library of 1,000 clips comes, scrolls to its end and is searched without a long task', async ({ browser }) => {
  const server = await new Server().start()
  const first = await signedIn(browser, server)
  for (const colour of ['red', 'blue', 'green', 'white']) await made(first.page, { prompt: `a ${colour} balloon` })
  await first.context.close()
  await server.stop()
  execFileSync('python3', [resolve('tests/many_clips.py'), server.data, String(wanted)])
  await server.start()

  const { context, page } = await signedIn(browser, server)
  await browser.startTracing(page, { categories: ['toplevel', 'devtools.timeline', '__metadata'] })
  await page.goto(server.url + '/library')
  await expect(page.getByRole('status').filter({ hasText: `${wanted} clips` })).toBeVisible()
  const links = page.getByRole('list', { name: 'Clips' }).getByRole('link')
  await expect(links.first()).toBeVisible()
  expect(await links.count()).toBeLessThan(120) // those in view, and a few more

  // To the end, as a wheel does it.
  const last = page.locator(`[aria-posinset="${wanted}"]`)
  await expect(async () => {
    await page.mouse.move(640, 500)
    for (let i = 0; i < 10; i++) await page.mouse.wheel(0, 1500)
    await expect(last).toBeVisible({ timeout: 300 })
  }).toPass({ timeout: patience })
  await expect(last).toHaveAttribute('aria-setsize', String(wanted))
  await page.evaluate(() => scrollTo(0, 0))
  await page.getByRole('searchbox').fill('blue')
  await expect(page.getByRole('status').filter({ hasText: `${wanted / 4} clips` })).toBeVisible()

  const tasks = tasksOf(await browser.stopTracing())
  console.log(`longest tasks: ${tasks.slice(0, 5).map(Math.round).join(', ')} ms`)
  expect(tasks.length).toBeGreaterThan(100)
  expect(tasks[0]).toBeLessThan(longest)
  await context.close()
  await server.end()
})
