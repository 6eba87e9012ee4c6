//! A list out of the library, read page by page as it is looked at.

import * as api from './api'
import { studio } from './store.svelte'
import type { LibraryPage, LibraryQuery } from './types'

const pageSize = 200

export class Shelf {
  ids = $state.raw<string[]>([])
  total = $state(0)
  loading = $state(true)
  #more = true
  #query: Partial<LibraryQuery> & { status?: string } = {}
  #run = 0

  //! Begins anew with other words or filters.
  async ask(query: Partial<LibraryQuery> & { status?: string }): Promise<void> {
    this.#query = query
    await this.#read(undefined, (page) => (this.ids = page.data.map((video) => video.id)))
  }

  async more(): Promise<void> {
    if (this.loading || !this.#more) return
    await this.#read(this.ids.at(-1), (page) => this.#append(page))
  }

  //! Something came or went elsewhere.
  async renew(): Promise<void> {
    if (this.ids.length <= pageSize) return this.ask(this.#query)
    const known = this.ids.filter((id) => studio.videos.has(id))
    await this.#read(undefined, (page) => {
      const first = page.data.map((video) => video.id)
      const seen = new Set(first)
      this.ids = [...first, ...known.filter((id) => !seen.has(id))]
    }, true)
  }

  #append(page: LibraryPage): void {
    const seen = new Set(this.ids)
    this.ids = [...this.ids, ...page.data.map((video) => video.id).filter((id) => !seen.has(id))]
  }

  async #read(after: string | undefined, take: (page: LibraryPage) => void, keepMore = false): Promise<void> {
    const run = ++this.#run
    this.loading = true
    try {
      const page = await api.library({ ...this.#query, after, limit: pageSize })
      if (run !== this.#run) return
      studio.stock(page)
      take(page)
      this.total = page.total
      if (!keepMore) this.#more = page.has_more
    } catch (problem) {
      this.#more = false
      if (run === this.#run) studio.fail(problem)
    } finally {
      if (run === this.#run) this.loading = false
    }
  }
}
