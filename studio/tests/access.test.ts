import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Page } from '@playwright/test'
import { expect, made, test, visit, watch } from './fixtures'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

async function expectAccessible(page: Page, what: string): Promise<void> {
  const violations = await page.evaluate(async (source) => {
    if (!('axe' in window)) (0, eval)(source)
    const { axe } = window as unknown as { axe: { run: (what: Document) => Promise<{ violations: any[] }> } }
    const found = (await axe.run(document)).violations
    return found
      .filter((one) => one.impact === 'serious' || one.impact === 'critical')
      .map((one) => `${one.id}: ${one.nodes.map((node: any) => node.target.join(' ') + ' ' + (node.any[0]?.message ?? '')).join('; ')}`)
  }, axe)
  expect(violations, what).toEqual([])
}

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(`in ${colorScheme} colours`, () => {
    // The policy of the pages forbids eval, which is how axe gets in.
    test.use({ colorScheme, bypassCSP: true })

    test('axe finds nothing serious on any page', async ({ studio, server }) => {
      const one = await made(studio, { prompt: 'seen by axe', steps: 2 })
      const other = await made(studio, { prompt: 'seen by axe, too', steps: 2 })
      await studio.reload()
      await expect(studio.locator('.player')).toBeVisible()
      await expectAccessible(studio, 'Make')
      const pages = {
        '/storyboard': studio.getByRole('article', { name: 'Shot 2' }),
        '/library': studio.getByRole('link', { name: 'seen by axe, too' }).first(),
        [`/clip/${one}`]: studio.getByRole('region', { name: 'Settings' }),
        [`/compare/${one}/${other}`]: studio.getByRole('table'),
        '/house': studio.getByRole('row', { name: /yours/ }),
        '/house/usage': studio.getByRole('row').nth(1),
        '/house/audit': studio.getByRole('row').nth(1),
        '/house/storage': studio.getByText('sqlite'),
        '/house/models': studio.getByRole('region', { name: 'nano' }),
        '/nowhere': studio.getByRole('heading', { name: 'There is no such page.' }),
      }
      for (const [path, sign] of Object.entries(pages)) {
        await visit(studio, path)
        await expect(sign).toBeVisible()
        await expectAccessible(studio, path)
      }
      // What opens: a form, a dialog, a menu, the cutting table.
      await visit(studio, '/house')
      await studio.getByRole('button', { name: 'New key' }).click()
      await expectAccessible(studio, 'the form of a key')
      await studio.keyboard.press('Escape')
      await visit(studio, `/clip/${one}`)
      for (const tool of ['Remix', 'Extend', 'Loop', 'Trim and re-cut', 'Blend', 'Enlarge']) {
        await studio.getByRole('region', { name: 'Change it' }).getByRole('button', { name: tool, exact: true }).click()
        await expectAccessible(studio, tool)
      }
      await studio.getByRole('button', { name: 'Download' }).click()
      await expect(studio.getByRole('menu')).toBeVisible()
      await expectAccessible(studio, 'a menu')
      await studio.keyboard.press('Escape')
      await studio.context().clearCookies()
      await studio.goto(server.url)
      await expect(studio.getByRole('heading', { name: 'Sign in' })).toBeVisible()
      await expectAccessible(studio, 'Sign in')
    })
  })
}

//! Presses Tab until the focus is on what is looked for: it can be reached.
async function tabTo(page: Page, name: string | RegExp, role?: string): Promise<void> {
  const seen: string[] = []
  for (let i = 0; i < 80; i++) {
    await page.keyboard.press('Tab')
    const focus = page.locator(':focus')
    const label = await focus.evaluate((element) => {
      const labelled = (element as HTMLInputElement).labels?.[0]?.textContent
      return (element.getAttribute('aria-label') ?? labelled ?? element.textContent ?? '').trim()
    }).catch(() => '')
    seen.push(label)
    if (typeof name === 'string' ? label === name : name.test(label)) {
      if (role) expect(await focus.evaluate((element) => element.getAttribute('role') ?? element.tagName.toLowerCase())).toBe(role)
      return
    }
  }
  throw new Error(`Tab does not lead to ${name}; it led to ${seen.join(' | ')}`)
}

test('everything works by the keyboard alone', async ({ studio: page }) => {
  await page.keyboard.type('a car by keyboard')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('group', { name: 'Video: a car by keyboard' })).toBeVisible()

  // The first Tab of a page skips to what is on it.
  await page.reload()
  await expect(page.getByLabel('What should be seen?')).toBeFocused()
  await tabTo(page, 'Skip to the page', 'a')
  await page.keyboard.press('Enter')
  await expect(page.locator('main')).toBeFocused()
  for (const name of ['Presets', /Square|^\s*\d/, 'Length', 'Seed', 'Throw the dice', /^1$/, 'choose a file', 'Finer settings'])
    await tabTo(page, name)

  // Into the library and to a clip with the arrow keys, a favourite, and a change.
  await tabTo(page, 'All of the library')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('list', { name: 'Clips' })).toBeVisible()
  await tabTo(page, 'a car by keyboard', 'a')
  await tabTo(page, 'Favourite: a car by keyboard', 'button')
  await page.keyboard.press('Space')
  await expect(page.locator(':focus')).toHaveAttribute('aria-pressed', 'true')
  await page.keyboard.press('Shift+Tab')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('region', { name: 'Settings' })).toBeVisible()
  await tabTo(page, 'Trim and re-cut')
  await page.keyboard.press('Enter')
  await tabTo(page, 'Part 1: From', 'slider')
  await page.keyboard.press('ArrowRight')
  await expect(page.getByText(/0:00\.08 –/)).toBeVisible()
  await tabTo(page, 'Make it')
  await page.keyboard.press('Enter')
  await expect(page.getByText('On its way.')).toBeVisible()
  // A dialog keeps the focus inside and gives it back.
  await tabTo(page, 'Delete')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('dialog')).toBeVisible()
  for (let i = 0; i < 5; i++) {
    await page.keyboard.press('Tab')
    expect(await page.evaluate(() => document.activeElement === document.body || !!document.activeElement?.closest('dialog'))).toBe(true)
  }
  await page.keyboard.press('Escape')
  await expect(page.getByRole('dialog')).toHaveCount(0)
  await expect(page.getByRole('button', { name: 'Delete' })).toBeFocused()
})

test('the arrow keys go through the library', async ({ studio: page }) => {
  for (const n of [1, 2, 3]) await made(page, { prompt: `arrow ${n}` })
  await page.getByRole('link', { name: 'Library', exact: true }).click()
  await page.getByRole('searchbox').fill('arrow')
  const links = page.getByRole('list', { name: 'Clips' }).getByRole('link')
  await expect(links).toHaveCount(3)
  await links.first().focus()
  await page.keyboard.press('ArrowRight')
  await expect(links.nth(1)).toBeFocused()
  await page.keyboard.press('ArrowLeft')
  await expect(links.first()).toBeFocused()
})

test('it speaks French, and remembers that', async ({ studio: page }) => {
  await page.getByRole('button', { name: 'Language, colours, signing out' }).click()
  await page.getByRole('menuitemradio', { name: 'Français' }).click()
  await expect(page.getByLabel('Que doit-on voir ?')).toBeVisible()
  await expect(page.locator('html')).toHaveAttribute('lang', 'fr')
  await page.reload()
  await expect(page.getByRole('link', { name: 'Vidéothèque', exact: true })).toBeVisible()
})

test.describe('in a French browser', () => {
  test.use({ locale: 'fr-FR' })
  test('it speaks French at once', async ({ page, server, watched }) => {
    watch(page, server.url, watched)
    await page.goto(server.address)
    await expect(page.getByRole('button', { name: 'Créer' })).toBeVisible()
  })
})

test('colours follow the system until one is chosen', async ({ studio: page }) => {
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
  await page.emulateMedia({ colorScheme: 'light' })
  const light = await ground()
  await page.emulateMedia({ colorScheme: 'dark' })
  expect(await ground()).not.toBe(light)
  await page.getByRole('button', { name: 'Language, colours, signing out' }).click()
  await page.getByRole('menuitemradio', { name: 'Light' }).click()
  await expect.poll(ground).toBe(light)
})

test.describe('where motion is not wanted', () => {
  test.use({ contextOptions: { reducedMotion: 'reduce' } })
  test('nothing plays by itself', async ({ studio: page }) => {
    await page.keyboard.type('a still wave')
    await page.keyboard.press('Enter')
    const video = page.getByRole('group', { name: 'Video: a still wave' }).locator('video')
    await expect(video).toBeVisible()
    await expect.poll(() => video.evaluate((v: HTMLVideoElement) => v.readyState)).toBeGreaterThanOrEqual(2)
    expect(await video.evaluate((v: HTMLVideoElement) => v.paused)).toBe(true)
  })
})

for (const width of [360, 768, 1920])
  test(`nothing sticks out at ${width} pixels`, async ({ studio: page }) => {
    await page.setViewportSize({ width, height: 800 })
    const id = await made(page, { prompt: `as wide as ${width} ${'verylongword'.repeat(20)}` })
    for (const path of ['/', '/storyboard', '/library', `/clip/${id}`, '/house', '/house/audit', '/house/models']) {
      await visit(page, path)
      await expect(page.locator('main')).not.toBeEmpty()
      await page.waitForTimeout(300)
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      expect(over, path).toBeLessThanOrEqual(0)
    }
  })
