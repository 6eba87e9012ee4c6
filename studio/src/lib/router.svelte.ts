//! Pages are addresses: they can be bookmarked, opened in a tab, gone back to.

export type Route =
  | { page: 'make' }
  | { page: 'storyboard' }
  | { page: 'library' }
  | { page: 'clip'; id: string }
  | { page: 'compare'; first: string; second: string }
  | { page: 'house'; section: string }
  | { page: 'nowhere' }

export function parse(path: string): Route {
  const [page = '', first, second, ...rest] = path.split('/').filter(Boolean).map(decoded)
  if (rest.length) return { page: 'nowhere' }
  if (page === '' || page === 'make') return { page: 'make' }
  if (page === 'storyboard') return { page: 'storyboard' }
  if (page === 'library') return { page: 'library' }
  if (page === 'clip' && first) return { page: 'clip', id: first }
  if (page === 'compare' && first && second) return { page: 'compare', first, second }
  if (page === 'house') return { page: 'house', section: first ?? 'keys' }
  return { page: 'nowhere' }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

class Router {
  route = $state.raw<Route>(parse(location.pathname))

  constructor() {
    window.addEventListener('popstate', () => (this.route = parse(location.pathname)))
    document.addEventListener('click', (event) => this.#click(event))
  }

  go(path: string, how: 'push' | 'replace' = 'push'): void {
    if (how === 'replace') history.replaceState(null, '', path)
    else if (path !== location.pathname) history.pushState(null, '', path)
    this.route = parse(location.pathname)
  }

  //! Plain clicks on links to pages stay in the page.
  #click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
      return
    const link = (event.target as Element | null)?.closest?.('a[data-page]')
    if (!(link instanceof HTMLAnchorElement)) return
    event.preventDefault()
    this.go(link.pathname)
  }
}

export const router = new Router()
export const clipAddress = (id: string) => `/clip/${encodeURIComponent(id)}`
