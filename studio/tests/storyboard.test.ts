import { durationOf, expect, expectMoving, made, test } from './fixtures'
import { png } from './png'
import { patience } from './patience'

test('shots of words, of a picture and of a clip become one video that says how they were joined', async ({ studio }) => {
  await made(studio, { prompt: 'an old film of a pier' })
  await studio.getByRole('link', { name: 'Storyboard' }).click()
  const shot = (n: number) => studio.getByRole('article', { name: `Shot ${n}` })
  const submit = studio.getByRole('button', { name: 'Make the video' })
  await expect(submit).toBeDisabled()
  await shot(1).getByRole('textbox').fill('a boat on the sea')
  await shot(2).getByRole('textbox').fill('the boat meets a whale')
  await expect(shot(2)).toContainText('Goes on from the shot before')
  await studio.getByRole('button', { name: 'Add a shot' }).click()
  await shot(3).getByText('Picture', { exact: true }).click()
  await expect(shot(3)).toContainText('Leads over to the picture')
  await shot(3).locator('input[type=file]').setInputFiles({ name: 'x.png', mimeType: 'image/png', buffer: png(128, 128, 120) })
  await shot(3).getByRole('textbox').fill('fog')
  await studio.getByRole('button', { name: 'Add a shot' }).click()
  await shot(4).getByText('Clip', { exact: true }).click()
  await shot(4).getByRole('button', { name: 'Choose a clip…' }).click()
  await studio.getByRole('dialog').getByRole('button', { name: 'an old film of a pier' }).first().click()
  await expect(shot(4)).toContainText('Leads over to the clip')
  await shot(4).getByRole('slider').fill('12')
  await expect(shot(4)).toContainText('1 s')
  await studio.getByRole('button', { name: 'Add a shot' }).click()
  await shot(5).getByRole('textbox').fill('night falls')
  await shot(5).getByLabel('Joined by').selectOption('A cut')
  await expect(shot(5).locator('.joint')).toHaveText('A cut')
  await expect(studio.getByText('5 shots')).toBeVisible()
  await studio.getByLabel('Title of the whole').fill('The boat')
  await submit.click()

  const last = studio.getByRole('region', { name: 'Last storyboard' })
  const how = ['The beginning', 'Goes on from the shot before', 'Leads over to the picture', 'Leads over to the clip', 'A cut']
  await expect(last.getByRole('listitem')).toHaveCount(how.length)
  for (const [i, words] of how.entries()) await expect(last.getByRole('listitem').nth(i)).toContainText(words)
  const video = last.locator('.player video')
  await expect(video).toBeVisible({ timeout: patience })
  await expect.poll(() => durationOf(video)).toBeGreaterThan(5)
  await expectMoving(video)

  // The draft and what became of it are still there after a reload.
  await studio.reload()
  await expect(shot(2).getByRole('textbox')).toHaveValue('the boat meets a whale')
  await expect(last.locator('.player video')).toBeVisible()
  await expect(last.getByRole('listitem').nth(3)).toContainText('Leads over to the clip')

  // The record of the whole says it, too, and leads to each shot.
  await last.getByRole('link', { name: 'The boat' }).click()
  const settings = studio.getByRole('region', { name: 'Settings' })
  const joints = ['The beginning', 'goes on from the one before', 'by a generated transition', 'by a generated transition', 'by a cut']
  for (const [i, words] of joints.entries()) {
    await expect(settings.getByText(`Shot ${i + 1}`, { exact: true })).toBeVisible()
    await expect(settings.getByRole('link', { name: words }).first()).toBeVisible()
  }
  await expect(studio.getByRole('region', { name: 'Family tree' }).getByText('storyboard').first()).toBeVisible()

  // Made again with a change: the shots are on the table as they were.
  await studio.getByRole('button', { name: 'Make again with a change' }).click()
  await expect(studio.getByRole('article')).toHaveCount(5)
  await expect(shot(2).getByRole('textbox')).toHaveValue('the boat meets a whale')
  await expect(shot(3)).toContainText('Leads over to the picture')
  await expect(shot(4).getByRole('img', { name: 'an old film of a pier' })).toBeVisible()
  await expect(shot(5).getByLabel('Joined by')).toHaveValue('cut')
  await expect(studio.getByText('Shot 3 needs')).toBeVisible()
})

test('shots are moved and removed by the keyboard', async ({ studio }) => {
  await studio.getByRole('link', { name: 'Storyboard' }).click()
  const text = (n: number) => studio.getByRole('article', { name: `Shot ${n}` }).getByRole('textbox')
  await text(1).fill('one')
  await text(2).fill('two')
  await studio.getByRole('button', { name: 'Shot 1 later' }).press('Enter')
  await expect(text(1)).toHaveValue('two')
  await expect(text(2)).toHaveValue('one')
  await studio.getByRole('button', { name: 'Remove shot 1' }).press('Enter')
  await expect(text(1)).toHaveValue('one')
  await expect(studio.getByRole('article')).toHaveCount(1)
})
