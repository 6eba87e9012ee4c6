import { expect, finished, queued, signedIn, test } from './fixtures'
import { patience } from './patience'
import { Server } from './server'

//! Steps of a job that is not done before a page has been loaded anew, or a server been started again.
const slow = 300

test('a reload in the middle of a job loses nothing', async ({ studio }) => {
  await studio.getByLabel('What should be seen?').fill('made across a reload')
  await studio.getByText('Finer settings').click()
  await studio.getByLabel('Steps').fill(String(slow))
  await studio.getByRole('button', { name: 'Make it' }).click()
  const queue = studio.getByRole('region', { name: 'Being made' })
  await expect(queue.getByRole('listitem')).toContainText(/of 300/)
  await studio.reload()
  await expect(queue.getByRole('listitem')).toContainText('made across a reload')
  await expect(queue.getByRole('listitem')).toContainText(/of 300/)
  await expect(studio.getByRole('group', { name: 'Video: made across a reload' })).toBeVisible({ timeout: 2 * patience })
})

test('two tabs agree', async ({ studio, browser, server }) => {
  const other = await signedIn(browser, server)
  await studio.getByLabel('What should be seen?').fill('seen in both tabs')
  await studio.keyboard.press('Enter')
  await expect(other.page.getByRole('group', { name: 'Video: seen in both tabs' })).toBeVisible()
  await studio.getByRole('region', { name: 'Lately' }).getByRole('link', { name: 'seen in both tabs' }).click()
  await studio.getByLabel('Title').fill('the same title')
  await studio.getByLabel('Title').press('Tab')
  await expect(other.page.getByRole('region', { name: 'Lately' }).getByRole('link', { name: 'the same title' })).toBeVisible()
  await other.context.close()
})

test('an answer that events overtook changes nothing any more', async ({ studio }) => {
  await studio.route('**/v1/videos', async (route) => {
    const response = await route.fetch()
    await finished(studio, (await response.json()).id)
    await route.fulfill({ response })
  })
  const answer = studio.waitForResponse((response) => response.request().method() === 'POST' && response.url().endsWith('/v1/videos'))
  await studio.getByLabel('What should be seen?').fill('made before its answer')
  await studio.keyboard.press('Enter')
  await (await answer).finished()
  await studio.waitForTimeout(300) // for the page to read it
  await expect(studio.getByRole('group', { name: 'Video: made before its answer' })).toBeVisible()
  await expect(studio.getByRole('region', { name: 'Being made' })).toBeHidden()
})

test('a server that stops in the middle of a job comes back with it, and the page too', async ({ browser }) => {
  const server = await new Server().start()
  const { context, page } = await signedIn(browser, server)
  const id = await queued(page, { prompt: 'made across a restart', steps: slow })
  const queue = page.getByRole('region', { name: 'Being made' })
  await expect(queue.getByRole('listitem')).toContainText(/\d+ of 300/)
  await server.stop()
  await expect(page.getByText('The server does not answer.')).toBeVisible()
  await server.start()
  await expect(page.getByText('The server does not answer.')).toBeHidden()
  // Still signed in, and the job goes on where it was.
  await expect(queue.getByRole('listitem')).toContainText(/\d+ of 300/)
  await finished(page, id, 2 * patience)
  await expect(page.getByRole('group', { name: 'Video: made across a restart' }).locator('video')).toBeVisible()
  await context.close()
  await server.end()
})
