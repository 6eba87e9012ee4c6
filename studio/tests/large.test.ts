import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'
import { expect, made, signedIn, test } from './fixtures'
import { Server } from './server'

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
  await page.addInitScript(() => {
    const tasks: number[] = []
    Object.assign(window, { tasks })
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ entryTypes: ['longtask'] })
  })
  const tasks = () => page.evaluate(() => (window as unknown as { tasks: number[] }).tasks)
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
  }).toPass({ timeout: 40_000 })
  await expect(last).toHaveAttribute('aria-setsize', String(wanted))
  await page.evaluate(() => scrollTo(0, 0))
  await page.getByRole('searchbox').fill('blue')
  await expect(page.getByRole('status').filter({ hasText: `${wanted / 4} clips` })).toBeVisible()

  const long = (await tasks()).filter((task) => task > longest)
  console.log(`long tasks: ${(await tasks()).map(Math.round).join(', ') || 'none'} ms`)
  expect(long).toEqual([])
  await context.close()
  await server.end()
})
