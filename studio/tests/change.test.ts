import { readFileSync } from 'node:fs'
import type { Page } from '@playwright/test'
import { durationOf, expect, expectMoving, finished, made, test, visit } from './fixtures'
import { patience } from './patience'

async function tool(page: Page, name: string) {
  await page.getByRole('region', { name: 'Change it' }).getByRole('button', { name, exact: true }).click()
  return page.getByRole('group', { name, exact: true })
}

//! Sends the form, opens what it makes, and waits until that plays.
async function make(page: Page, form: ReturnType<Page['getByRole']>): Promise<string> {
  await form.getByRole('button', { name: 'Make it' }).click()
  await page.getByRole('link', { name: 'Open it' }).last().click()
  const id = page.url().split('/').at(-1)!
  await finished(page, id)
  await expect(page.locator('.player video')).toBeVisible()
  await expect.poll(() => durationOf(page.locator('.player video'))).toBeGreaterThan(0)
  return id
}

let kite = ''

test.beforeEach(async ({ studio }) => {
  kite ||= await made(studio, { prompt: 'a red kite over a meadow' })
  await visit(studio, `/clip/${kite}`)
  await expect(studio.locator('.player video')).toBeVisible()
})

test('remix, with other words and a strength', async ({ studio }) => {
  const form = await tool(studio, 'Remix')
  await form.getByLabel('What should be seen?').fill('a blue kite over a meadow')
  await form.getByRole('slider').fill('0.8')
  await make(studio, form)
  const settings = studio.getByRole('region', { name: 'Settings' })
  await expect(settings).toContainText('Remix')
  await expect(settings).toContainText('0.8')
  await expectMoving(studio.locator('.player video'))
})

test('extend after the end, and before the beginning', async ({ studio }) => {
  const first = await durationOf(studio.locator('.player video'))
  await make(studio, await tool(studio, 'Extend'))
  await expect.poll(() => durationOf(studio.locator('.player video'))).toBeGreaterThan(first + 0.3)

  const form = await tool(studio, 'Extend')
  await form.getByText('Before the beginning').click()
  const second = await durationOf(studio.locator('.player video'))
  await make(studio, form)
  await expect.poll(() => durationOf(studio.locator('.player video'))).toBeGreaterThan(second + 0.3)
})

test('loop: the end meets the beginning', async ({ studio }) => {
  await make(studio, await tool(studio, 'Loop'))
  await expect(studio.getByRole('region', { name: 'Settings' })).toContainText('Loop')
})

test('the link to what is on its way stays until it is followed', async ({ studio }) => {
  await studio.clock.install()
  await studio.reload()
  const form = await tool(studio, 'Loop')
  await form.getByRole('button', { name: 'Make it' }).click()
  const link = studio.getByRole('link', { name: 'Open it' })
  await expect(link).toBeVisible()
  await studio.clock.fastForward('10:00')
  await expect(link).toBeVisible()
  await link.click()
  await expect(link).toHaveCount(0)
  await expect(studio.getByRole('region', { name: 'Settings' })).toContainText('Loop')
})

test('trim and re-cut, with the keyboard', async ({ studio }) => {
  const form = await tool(studio, 'Trim and re-cut')
  const end = form.getByRole('slider', { name: 'Part 1: To' })
  await end.focus()
  for (let i = 0; i < 12; i++) await end.press('ArrowLeft')
  await expect(form.getByText(/0:00\.00 – 0:01\.0/)).toBeVisible()
  await form.getByRole('button', { name: 'Again this clip' }).click()
  await form.getByRole('button', { name: 'Earlier: Part 2' }).click()
  await make(studio, form)
  await expect.poll(() => durationOf(studio.locator('.player video'))).toBeCloseTo(25 / 12 + 13 / 12, 0)
  await expect(studio.getByRole('region', { name: 'Settings' })).toContainText('Cut')
})

test('blend two clips, and the clip says how they were joined', async ({ studio }) => {
  await made(studio, { prompt: 'a yellow star in the night' })
  const form = await tool(studio, 'Blend')
  await form.getByRole('button', { name: 'Blend into…' }).click()
  await studio.getByRole('dialog', { name: 'Choose a clip' }).getByRole('button', { name: 'a yellow star in the night' }).first().click()
  await make(studio, form)
  await expect(studio.getByRole('region', { name: 'Settings' })).toContainText(/by a generated transition|by a crossfade/)
})

test('enlarge, and the clip says by what', async ({ studio }) => {
  await make(studio, await tool(studio, 'Enlarge'))
  const settings = studio.getByRole('region', { name: 'Settings' })
  await expect(settings).toContainText('256 × 256')
  await expect(settings).toContainText(/by the model|by resizing/)
})

test('the family tree leads from clip to clip', async ({ studio }) => {
  const parent = studio.url()
  const form = await tool(studio, 'Remix')
  await form.getByLabel('What should be seen?').fill('a purple kite')
  const child = await make(studio, form)
  const family = studio.getByRole('region', { name: 'Family tree' })
  await expect(family.getByRole('link', { name: 'a purple kite (remix)' })).toHaveAttribute('aria-current', 'true')
  await family.getByRole('link', { name: 'a red kite over a meadow' }).click()
  expect(studio.url()).toBe(parent)
  await expect(family.getByRole('link', { name: 'a purple kite (remix)' })).toHaveAttribute('href', `/clip/${child}`)
})

test('the family tree knows the clip that a character is', async ({ studio }) => {
  const fox = studio.url().split('/').at(-1)!
  const id = await studio.evaluate(async (clip) => {
    const form = new FormData()
    form.set('name', 'Kite')
    form.set('video', await (await fetch(`/v1/videos/${clip}/content`)).blob(), 'kite.mp4')
    const character = (await (await fetch('/v1/videos/characters', { method: 'POST', body: form })).json()).id
    const body = JSON.stringify({ prompt: 'the kite meets a bird', character, steps: 2 })
    return (await (await fetch('/v1/videos', { method: 'POST', headers: { 'content-type': 'application/json' }, body })).json()).id
  }, fox)
  await finished(studio, id)
  await visit(studio, `/clip/${id}`)
  const family = studio.getByRole('region', { name: 'Family tree' })
  await expect(family.getByText('character', { exact: true })).toBeVisible()
  await expect(family.getByRole('link', { name: 'the kite meets a bird (character)' })).toBeVisible()
  await expect(family.getByRole('link', { name: 'a red kite over a meadow' })).toHaveAttribute('href', `/clip/${fox}`)
})

test('make again with a change brings the settings back', async ({ studio }) => {
  await studio.getByRole('button', { name: 'Make again with a change' }).click()
  const prompt = studio.getByLabel('What should be seen?')
  await expect(prompt).toHaveValue('a red kite over a meadow')
  await expect(studio.getByLabel('Seed', { exact: true })).toHaveValue('7')
  await prompt.fill('a red kite over the sea')
  await prompt.press('Enter')
  await expect(studio.getByRole('group', { name: 'Video: a red kite over the sea' }).locator('video')).toBeVisible()
})

test('a remix is made again where remixes are made, with its words and its strength', async ({ studio }) => {
  const source = studio.url()
  let form = await tool(studio, 'Remix')
  await form.getByLabel('What should be seen?').fill('a kite of glass')
  await form.getByRole('slider').fill('0.3')
  await make(studio, form)
  await studio.getByRole('button', { name: 'Make again with a change' }).click()
  await expect(studio).toHaveURL(source)
  form = studio.getByRole('group', { name: 'Remix', exact: true })
  await expect(form.getByLabel('What should be seen?')).toHaveValue('a kite of glass')
  await expect(form.getByRole('slider')).toHaveValue('0.3')
})

test('every format can be downloaded', async ({ studio }) => {
  const beginnings: Record<string, [string, number, string]> = {
    'MP4 film': ['.mp4', 4, 'ftyp'], 'WebM film': ['.webm', 0, '\x1a\x45\xdf\xa3'], GIF: ['.gif', 0, 'GIF8'], 'PNG frames (zip)': ['.zip', 0, 'PK'],
  }
  for (const [label, [ending, at, magic]] of Object.entries(beginnings)) {
    const download = studio.waitForEvent('download')
    await studio.getByRole('button', { name: 'Download' }).click()
    await studio.getByRole('menuitem', { name: label }).click()
    const file = await download
    expect(file.suggestedFilename()).toContain(ending)
    const bytes = readFileSync(await file.path())
    expect(bytes.subarray(at, at + magic.length).toString('latin1')).toBe(magic)
  }
})

test('a long conversion shows that it is made, and goes on while one is elsewhere', async ({ studio }) => {
  const id = studio.url().split('/').at(-1)!
  const long = await studio.evaluate(async (video) => {
    const body = JSON.stringify({ parts: Array(40).fill({ video }), title: 'a long film' })
    return (await (await fetch('/prax/v1/videos/cut', { method: 'POST', headers: { 'content-type': 'application/json' }, body })).json()).id
  }, id)
  await finished(studio, long)
  await visit(studio, `/clip/${long}`)
  const files: string[] = []
  studio.on('download', (file) => files.push(file.suggestedFilename()))
  const download = studio.waitForEvent('download')
  await studio.getByRole('button', { name: 'Download' }).click()
  await studio.getByRole('menuitem', { name: 'WebM film' }).click()
  await expect(studio.getByRole('progressbar', { name: /WebM film: being made/ })).toBeVisible()
  // Whoever asks for the same hears where it stands.
  const second = await studio.evaluate(async (video) => {
    const body = '{"format":"webm"}'
    return (await fetch(`/prax/v1/videos/${video}/conversions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })).json()
  }, long)
  expect(['making', 'ready']).toContain(second.status)
  // Other pages answer meanwhile, and the file comes all the same.
  await studio.getByRole('link', { name: 'Library', exact: true }).click()
  await expect(studio.getByRole('link', { name: 'a long film' })).toBeVisible()
  expect((await download).suggestedFilename()).toBe('a long film.webm')
  await studio.waitForTimeout(500)
  expect(files).toEqual(['a long film.webm'])
})

test('the player steps by frames and plays at other speeds', async ({ studio }) => {
  const player = studio.locator('.player')
  const video = player.locator('video')
  await player.focus()
  // Again if need be: the page that has just turned to the clip may still load it, and begin it anew.
  await expect(async () => {
    await video.evaluate((v: HTMLVideoElement) => { v.pause(); v.currentTime = 0 })
    await studio.keyboard.press('ArrowRight')
    await expect.poll(() => video.evaluate((v: HTMLVideoElement) => v.currentTime), { timeout: 3000 }).toBeCloseTo(1 / 12, 2)
  }).toPass({ timeout: patience })
  await player.getByLabel('Speed').selectOption('0.5×')
  expect(await video.evaluate((v: HTMLVideoElement) => v.playbackRate)).toBe(0.5)
  await player.focus()
  await studio.keyboard.press('Space')
  await expect.poll(() => video.evaluate((v: HTMLVideoElement) => v.paused)).toBe(false)
})
