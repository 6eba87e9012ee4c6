//! A signed-in page whose every request, error and policy violation is watched.

import { expect, test as base, type Browser, type BrowserContext, type Locator, type Page } from '@playwright/test'
import { patience } from './patience'
import { Server } from './server'

interface Watched {
  problems: string[]
}

//! What no page of the studio may do.
export function watch(page: Page, origin: string, watched: Watched): void {
  page.on('request', (request) => {
    const address = new URL(request.url())
    if (!['blob:', 'data:'].includes(address.protocol) && address.origin !== origin)
      watched.problems.push(`a request to ${request.url()}`)
  })
  page.on('pageerror', (error) => watched.problems.push(`an error: ${error.message}`))
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) watched.problems.push(message.text())
  })
}

export const test = base.extend<{ watched: Watched; studio: Page }, { server: Server }>({
  server: [
    async ({}, use) => {
      const server = await new Server().start()
      await use(server)
      await server.end()
    },
    { scope: 'worker' },
  ],
  watched: async ({}, use) => {
    const watched = { problems: [] as string[] }
    await use(watched)
    expect(watched.problems).toEqual([])
  },
  studio: async ({ page, server, watched }, use) => {
    watch(page, server.url, watched)
    await page.goto(server.address)
    await expect(page.getByLabel('What should be seen?')).toBeVisible()
    await use(page)
  },
})
export { expect }

export async function signedIn(browser: Browser, server: Server): Promise<{ context: BrowserContext; page: Page }> {
  const context = await browser.newContext()
  const page = await context.newPage()
  await page.goto(server.address)
  await expect(page.getByLabel('What should be seen?')).toBeVisible()
  return { context, page }
}

//! The id of a video made over the API by this browser's session.
export async function made(page: Page, settings: Record<string, unknown> = {}): Promise<string> {
  const id = await queued(page, settings)
  await finished(page, id)
  return id
}

export async function queued(page: Page, settings: Record<string, unknown> = {}): Promise<string> {
  const body = { prompt: 'a red balloon rises over the sea', model: 'nano', steps: 2, seed: 7, ...settings }
  const answer = await page.evaluate(async (sent) => {
    const response = await fetch('/v1/videos', {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(sent),
    })
    return response.json()
  }, body)
  expect(answer.id, JSON.stringify(answer)).toBeTruthy()
  return answer.id
}

export async function finished(page: Page, id: string, timeout = patience): Promise<void> {
  await expect
    .poll(() => page.evaluate(async (it) => (await (await fetch(`/v1/videos/${it}`)).json()).status, id), { timeout })
    .toBe('completed')
}

//! Goes to a page of the studio without loading it anew.
export async function visit(page: Page, path: string): Promise<void> {
  await page.evaluate((to) => {
    history.pushState(null, '', to)
    dispatchEvent(new PopStateEvent('popstate'))
  }, path)
}

//! Two moments of the video differ, once it has been loaded: a page that has just turned to a clip may still do that.
export async function expectMoving(video: Locator): Promise<void> {
  await expect(async () => expect(await differenceOfMoments(video)).toBeGreaterThan(0.5)).toPass({ timeout: patience })
}

async function differenceOfMoments(video: Locator): Promise<number> {
  await expect.poll(() => video.evaluate((v: HTMLVideoElement) => v.readyState)).toBeGreaterThanOrEqual(2)
  const shot = (at: number) =>
    video.evaluate(async (v: HTMLVideoElement, time) => {
      v.pause()
      await new Promise<void>((done) => {
        v.addEventListener('seeked', () => done(), { once: true })
        v.currentTime = time
      })
      const canvas = document.createElement('canvas')
      canvas.width = canvas.height = 32
      const drawing = canvas.getContext('2d')!
      drawing.drawImage(v, 0, 0, 32, 32)
      return [...drawing.getImageData(0, 0, 32, 32).data]
    }, at)
  const duration = await video.evaluate((v: HTMLVideoElement) => v.duration)
  const [a, b] = [await shot(duration * 0.1), await shot(duration * 0.8)]
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length
}

export const durationOf = (video: Locator) => video.evaluate((v: HTMLVideoElement) => v.duration)
