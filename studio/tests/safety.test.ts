import { expect, made, test, visit } from './fixtures'

const markup = `<img src=x onerror="document.title='broken in'"><script>document.title='broken in'</script>`

test('markup in prompts stays text on every page', async ({ studio: page }) => {
  await page.getByLabel('What should be seen?').fill(markup)
  await page.keyboard.press('Enter')
  await expect(page.getByRole('group', { name: `Video: ${markup}` })).toBeVisible()
  const id = await made(page, { prompt: markup, seed: 8 })
  for (const path of ['/', '/library', `/clip/${id}`, '/house/audit']) {
    await visit(page, path)
    if (path !== '/house/audit') await expect(page.getByText(markup).first()).toBeVisible()
    expect(await page.locator('img[src="x"]').count()).toBe(0)
    await expect(page).not.toHaveTitle('broken in')
  }
})

test('the policy allows no inline script or style, and no other origin', async ({ page, server }) => {
  const answer = await page.goto(server.url)
  const policy = answer!.headers()['content-security-policy'] ?? ''
  expect(policy).toContain("default-src 'none'")
  expect(policy).toContain("script-src 'self'")
  expect(policy).not.toContain('unsafe-inline')
  expect(policy).not.toContain('unsafe-eval')
  expect(policy).not.toMatch(/https?:/)
  const source = await answer!.text()
  expect(source).not.toMatch(/<script(?![^>]*\bsrc=)/)
  expect(source).not.toMatch(/\sstyle=|<style|\son\w+=/)
})

test('the first page is under 200 kB compressed, with all that it brings', async ({ page, server }) => {
  const bytes: Record<string, number> = {}
  const session = await page.context().newCDPSession(page)
  await session.send('Network.enable')
  const names = new Map<string, string>()
  session.on('Network.responseReceived', (event) => names.set(event.requestId, event.response.url))
  session.on('Network.loadingFinished', (event) => {
    bytes[names.get(event.requestId) ?? event.requestId] = event.encodedDataLength
  })
  await page.goto(server.address)
  await expect(page.getByLabel('What should be seen?')).toBeVisible()
  await page.waitForTimeout(500)
  const own = Object.entries(bytes).filter(([url]) => !url.includes('/v1/videos/'))
  const total = own.reduce((sum, [, size]) => sum + size, 0)
  console.log(`first page: ${total} bytes in ${own.length} answers`)
  expect(own.length).toBeGreaterThan(3)
  expect(total).toBeLessThan(200_000)
})
