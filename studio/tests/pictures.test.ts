import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from '@playwright/test'
import { expect, made, test, visit } from './fixtures'

//! The pictures of docs/studio.md, where a folder for them is named.
const folder = process.env.PRAX_PICTURES ?? ''
const largest = 150_000

async function picture(page: Page, name: string): Promise<void> {
  const session = await page.context().newCDPSession(page)
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 82 })
  const path = join(folder, `studio-${name}.webp`)
  writeFileSync(path, Buffer.from(data, 'base64'))
  expect(statSync(path).size).toBeLessThan(largest)
}

async function still(page: Page, at: number): Promise<void> {
  const video = page.locator('main video').first()
  await expect.poll(() => video.evaluate((v: HTMLVideoElement) => v.readyState)).toBeGreaterThanOrEqual(2)
  await page.locator('main video').evaluateAll(async (all, time) => {
    for (const v of all as HTMLVideoElement[]) {
      v.pause()
      v.currentTime = time
    }
  }, at)
  await page.waitForTimeout(300)
}

test.describe('pictures of the pages', () => {
  test.skip(!folder, 'PRAX_PICTURES names no folder')
  test.use({ viewport: { width: 1280, height: 800 } })

  test('are taken', async ({ studio: page }) => {
    test.setTimeout(180_000)
    mkdirSync(folder, { recursive: true })
    const prompts = [
      'a red balloon rises over the sea at sunset', 'a green bird circles over the mountains at night', 'a white star spins over the desert',
      'a purple fish swings in the sea', 'an orange lantern rises over the city at night', 'a blue whale moves right in space',
      'a yellow kite falls over the meadow', 'a pink butterfly bounces in the forest', 'a red car moves left in the city at sunset',
      'a green rocket rises in space', 'a white paper plane circles over the sea', 'a blue sailboat moves right on the sea at sunset',
    ]
    const ids: string[] = []
    for (const [i, prompt] of prompts.entries()) ids.push(await made(page, { prompt, seed: 11 + i, steps: 20 }))
    await page.evaluate((id) => fetch(`/prax/v1/videos/${id}`, { method: 'PATCH', headers: { 'content-type': 'application/json' }, body: '{"favourite":true,"folder":"Balloons"}' }), ids[0])
    const remix = await page.evaluate(async (id) => (await (await fetch(`/v1/videos/${id}/remix`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'a red balloon rises over the sea at night', strength: 0.8 }) })).json()).id, ids[0])
    await expect.poll(() => page.evaluate(async (id) => (await (await fetch(`/v1/videos/${id}`)).json()).status, remix)).toBe('completed')
    await page.evaluate(async (id) => fetch('/prax/v1/videos/cut', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ parts: [{ video: id[0] }, { video: id[1], crossfade: 0.5 }], title: 'Day into night' }) }), [ids[0], remix])

    await page.emulateMedia({ colorScheme: 'light' })
    await page.reload()
    await page.getByLabel('What should be seen?').fill(prompts[0]!)
    await still(page, 1)
    await picture(page, 'make')
    await visit(page, `/clip/${ids[0]}`)
    await expect(page.getByRole('region', { name: 'Family tree' })).toBeVisible()
    await page.setViewportSize({ width: 1280, height: 960 })
    await still(page, 1)
    await picture(page, 'clip')
    await page.setViewportSize({ width: 1280, height: 800 })

    await page.emulateMedia({ colorScheme: 'dark' })
    await visit(page, '/library')
    await page.waitForTimeout(800)
    await picture(page, 'library')
    await visit(page, '/storyboard')
    await page.getByRole('article', { name: 'Shot 1' }).getByRole('textbox').fill('a blue sailboat moves right on the sea at sunset')
    await page.getByRole('article', { name: 'Shot 2' }).getByRole('textbox').fill('a white star spins over the sea at night')
    await page.getByRole('button', { name: 'Add a shot' }).click()
    await page.getByRole('article', { name: 'Shot 3' }).getByRole('textbox').fill('an orange lantern rises over the city at night')
    await page.getByRole('article', { name: 'Shot 3' }).getByLabel('Joined by').selectOption('A cut')
    await page.evaluate(() => (document.activeElement as HTMLElement).blur())
    await picture(page, 'storyboard')

    await page.setViewportSize({ width: 390, height: 844 })
    await visit(page, '/')
    await still(page, 1)
    await page.evaluate(() => scrollTo(0, 0))
    await picture(page, 'phone')
  })
})
