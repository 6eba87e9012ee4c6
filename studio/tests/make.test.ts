import { readFileSync } from 'node:fs'
import { durationOf, expect, expectMoving, test } from './fixtures'
import { png } from './png'

test('a first visit: open, type, Enter, and the video plays in the page', async ({ page, server }) => {
  await page.goto(server.address)
  await expect(page.getByLabel('What should be seen?')).toBeFocused()
  await page.keyboard.type('a red balloon rises over the sea at sunset')
  await page.keyboard.press('Enter')

  const player = page.getByRole('group', { name: 'Video: a red balloon rises over the sea at sunset' })
  const video = player.locator('video')
  await expect(video).toBeVisible()
  await expect.poll(() => durationOf(video)).toBeCloseTo(25 / 12, 1)
  await expectMoving(video)
  // The token is for once, and not for those who look over one's shoulder.
  expect(page.url()).toBe(server.url + '/')
})

test('the model says what it can do and needs', async ({ studio }) => {
  const card = studio.getByRole('radio', { name: /nano/ }).locator('..')
  await expect(card).toContainText('from a picture')
  await expect(card).toContainText(/\d+ MB of \d+(\.\d)? GB memory/)
  await expect(card).toContainText(/\d+ MB on disk/)
  await expect(card).toContainText(/about \d+ s here|time not known yet/)
})

test('shape, length, seed and steps are those that were chosen', async ({ studio }) => {
  const prompt = 'a green bird spins over the mountains'
  await studio.getByLabel('What should be seen?').fill(prompt)
  await studio.getByRole('group', { name: 'Shape' }).getByRole('radio').nth(1).check({ force: true })
  const size = await studio.getByRole('group', { name: 'Shape' }).getByRole('radio').nth(1).inputValue()
  await studio.getByRole('slider', { name: 'Length' }).press('ArrowLeft')
  await expect(studio.getByText('21 frames')).toBeVisible()
  await studio.getByLabel('Seed', { exact: true }).fill('42')
  await studio.getByText('Finer settings').click()
  await studio.getByLabel('Steps').fill('2')
  await studio.getByRole('button', { name: 'Make it' }).click()

  await studio.getByRole('link', { name: prompt, exact: true }).first().click()
  const settings = studio.getByRole('region', { name: 'Settings' })
  await expect(settings).toContainText(size.replace('x', ' × '))
  await expect(settings).toContainText('21')
  await expect(settings).toContainText('42')
})

test('variations have seeds of their own, one after the other', async ({ studio }) => {
  await studio.getByLabel('What should be seen?').fill('a blue whale bounces in space')
  await studio.getByLabel('Seed', { exact: true }).fill('100')
  await studio.getByText('Finer settings').click()
  await studio.getByLabel('Steps').fill('2')
  await studio.getByRole('group', { name: 'Variations' }).getByText('4').click()
  await studio.getByRole('button', { name: 'Make 4' }).click()
  const lately = studio.getByRole('region', { name: 'Lately' })
  await expect(lately.getByRole('link', { name: 'a blue whale bounces in space' })).toHaveCount(4)
  const seeds = await studio.evaluate(async () => {
    const list = await (await fetch('/v1/videos?limit=4')).json()
    return list.data.map((video: { seed: number }) => video.seed).sort()
  })
  expect(seeds).toEqual([100, 101, 102, 103])
})

test('the dice draws a seed, and a cross takes it away', async ({ studio }) => {
  const seed = studio.getByLabel('Seed', { exact: true })
  await expect(seed).toHaveValue('')
  await studio.getByRole('button', { name: 'Throw the dice' }).click()
  await expect(seed).toHaveValue(/^\d+$/)
  await studio.getByRole('button', { name: 'Draw a new seed each time' }).click()
  await expect(seed).toHaveValue('')
})

test('a first frame comes by file, by drop and by paste; what is no picture is refused', async ({ studio }) => {
  const place = studio.getByRole('group', { name: 'First frame' })
  const file = { name: '<b>first</b>.png', mimeType: 'image/png', buffer: png(64, 64, 200) }
  await place.locator('input[type=file]').setInputFiles(file)
  await expect(place.getByRole('img', { name: 'First frame' })).toBeVisible()
  await place.getByRole('button', { name: 'Remove the picture' }).click()

  const carry = async (event: 'drop' | 'paste', type: string) => {
    const transfer = await studio.evaluateHandle(
      ([bytes, kind]) => {
        const data = new DataTransfer()
        data.items.add(new File([new Uint8Array(bytes)], 'frame', { type: kind }))
        return data
      },
      [[...png(64, 64, 90)], type] as const,
    )
    if (event === 'drop') return place.dispatchEvent('drop', { dataTransfer: transfer })
    return studio.evaluate(
      (data) => dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })),
      transfer,
    )
  }
  await carry('drop', 'text/plain')
  await expect(studio.getByRole('alert')).toContainText('not a PNG, JPEG or WebP')
  await carry('drop', 'image/png')
  await expect(place.getByRole('img')).toBeVisible()
  await place.getByRole('button', { name: 'Remove the picture' }).click()
  await carry('paste', 'image/png')
  await expect(place.getByRole('img')).toBeVisible()

  await studio.getByLabel('What should be seen?').fill('a grey morning')
  await studio.getByRole('button', { name: 'Make it' }).click()
  await expect(studio.getByRole('group', { name: 'Video: a grey morning' }).locator('video')).toBeVisible()
})

test('several jobs wait in a queue that is seen; they show stage and picture, and can be cancelled', async ({ studio }) => {
  await studio.getByLabel('What should be seen?').fill('a kite that takes its time')
  await studio.getByText('Finer settings').click()
  await studio.getByLabel('Steps').fill('1000')
  await studio.getByRole('group', { name: 'Variations' }).getByText('4').click()
  await studio.getByRole('button', { name: 'Make 4' }).click()

  const queue = studio.getByRole('region', { name: 'Being made' })
  await expect(queue.getByRole('listitem')).toHaveCount(4)
  await expect(queue.getByRole('listitem').last()).toContainText('Waiting')
  await expect(queue.getByRole('listitem').first()).toContainText(/Drawing · \d+ of 1000/)
  await expect(queue.getByRole('listitem').first()).toContainText(/left/)
  await expect(queue.getByRole('img', { name: /^Preview of/ })).toBeVisible()
  await expect
    .poll(() => queue.getByRole('progressbar').first().evaluate((bar: HTMLProgressElement) => bar.value))
    .toBeGreaterThan(5)
  const cancel = queue.getByRole('button', { name: 'Cancel “a kite that takes its time”' })
  for (let left = await cancel.count(); left > 0; left--) {
    await cancel.last().click()
    await expect.poll(() => cancel.count()).toBeLessThan(left)
  }
  await expect(queue).toBeHidden()
  await studio.getByRole('link', { name: 'Library', exact: true }).click()
  await expect(studio.getByText('Cancelled').first()).toBeVisible()
})

test('presets are kept, applied, saved as a file, deleted, and opened again', async ({ studio }) => {
  const prompt = studio.getByLabel('What should be seen?')
  const name = 'Dusk <i>soft</i>'
  await prompt.fill('a lantern at dusk')
  await studio.getByLabel('Seed', { exact: true }).fill('5')
  await studio.getByRole('button', { name: 'Presets' }).click()
  await studio.getByRole('menuitem', { name: 'Keep these settings…' }).click()
  await studio.getByLabel('Name of the preset').fill(name)
  await studio.getByRole('button', { name: 'Save' }).click()
  await expect(studio.getByText(`“${name}” is kept.`)).toBeVisible()

  await prompt.fill('something else')
  await studio.getByLabel('Seed', { exact: true }).fill('6')
  await studio.getByRole('button', { name: 'Presets' }).click()
  await studio.getByRole('menuitem', { name }).click()
  await expect(prompt).toHaveValue('a lantern at dusk')
  await expect(studio.getByLabel('Seed', { exact: true })).toHaveValue('5')

  await studio.getByRole('button', { name: 'Presets' }).click()
  await studio.getByRole('menuitem', { name: 'Manage presets…' }).click()
  const download = studio.waitForEvent('download')
  await studio.getByRole('button', { name: `Save “${name}” as a file` }).click()
  const file = await (await download).path()
  expect(JSON.parse(readFileSync(file, 'utf8')).settings.prompt).toBe('a lantern at dusk')
  await studio.getByRole('button', { name: `Delete “${name}”` }).click()
  await expect(studio.getByText('None yet.')).toBeVisible()
  await studio.keyboard.press('Escape')

  await prompt.fill('')
  const opened = { name: 'shared.json', mimeType: 'application/json', buffer: readFileSync(file) }
  await studio.locator('input[type=file][accept*=json]').setInputFiles(opened)
  await expect(prompt).toHaveValue('a lantern at dusk')
  await studio.locator('input[type=file][accept*=json]').setInputFiles({ ...opened, buffer: Buffer.from('{"format":"other"}') })
  await expect(studio.getByRole('alert')).toContainText('not a preset')
})

test('a draft outlives a reload', async ({ studio }) => {
  await studio.getByLabel('What should be seen?').fill('half a thought')
  await studio.getByLabel('Seed', { exact: true }).fill('77')
  await studio.reload()
  await expect(studio.getByLabel('What should be seen?')).toHaveValue('half a thought')
  await expect(studio.getByLabel('Seed', { exact: true })).toHaveValue('77')
})
