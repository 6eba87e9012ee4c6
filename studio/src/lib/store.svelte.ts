//! The one store: who is here, what the server can do, the videos that this page knows, and words to the user.

import { SvelteMap } from 'svelte/reactivity'
import * as api from './api'
import { ApiError } from './api'
import { i18n } from './i18n/index.svelte'
import { type Connection, LiveEvents } from './live'
import type { LibraryPage, Model, Preset, Session, Video } from './types'

export interface Notice {
  id: number
  kind: 'error' | 'done'
  text: string
  link?: { path: string; text: string }
}

const noticeTime = 7000

export const isActive = (video: Video) => video.status === 'queued' || video.status === 'in_progress'

//! What is under way comes before what waits.
const waits = (video: Video) => Number(video.status === 'queued')

class Studio {
  //! undefined before the server answered, null when nobody is signed in.
  session = $state.raw<Session | null | undefined>(undefined)
  models = $state.raw<Model[]>([])
  memoryBytes = $state(0)
  presets = $state.raw<Preset[]>([])
  connection = $state<Connection>('connecting')
  notices = $state.raw<Notice[]>([])
  //! Every video seen so far, by its id; deleted ones are taken out.
  readonly videos = new SvelteMap<string, Video>()
  //! Counts what a list cannot hear from `videos`: a new one, one gone, a stream that was away.
  arrivals = $state(0)
  folders = $state.raw<LibraryPage['folders']>([])

  readonly queue = $derived(
    [...this.videos.values()]
      .filter(isActive)
      .sort((a, b) => waits(a) - waits(b) || a.created_at - b.created_at || (a.id < b.id ? -1 : 1)),
  )

  #live: LiveEvents | null = null
  //! Tells the other tabs that somebody signed in or out: they have the same cookie.
  readonly #tabs = new BroadcastChannel('prax-session')
  #notices = 0

  may(scope: Session['scopes'][number]): boolean {
    return this.session?.scopes.includes(scope) ?? false
  }
  model(id: string | undefined): Model | undefined {
    return this.models.find((model) => model.id === id || model.aliases.includes(id ?? ''))
  }

  async start(): Promise<void> {
    this.#tabs.onmessage = () => {
      if (this.session) void this.#stillSignedIn()
      else void api.session.get().then((session) => this.enter(session), () => {})
    }
    const token = new URLSearchParams(location.search).get('token')
    if (token) history.replaceState(null, '', location.pathname)
    try {
      await (token ? this.signIn({ token }) : this.enter(await api.session.get()))
    } catch (problem) {
      if (token && problem instanceof ApiError && problem.status === 401)
        try {
          return await this.enter(await api.session.get()) // an old address in a browser that is signed in
        } catch {
          this.fail(problem)
        }
      if (problem instanceof ApiError && problem.status === 0) this.fail(problem)
      this.session = null
    }
  }

  async signIn(secret: Parameters<typeof api.session.open>[0]): Promise<void> {
    await this.enter(await api.session.open(secret))
    this.#tabs.postMessage('in')
  }

  async enter(session: Session): Promise<void> {
    const [models] = await Promise.all([api.models(), this.refreshActive()])
    this.models = models.data
    this.memoryBytes = models.memory_bytes
    this.session = session
    this.#live?.stop()
    this.#live = new LiveEvents({
      changed: (video) => this.keep(video),
      deleted: (id) => this.forget(id),
      connection: (state) => (this.connection = state),
      resumed: () => void this.refresh(),
      refused: () => this.#stillSignedIn(),
    })
    if (this.may('read')) void this.loadPresets()
  }

  async leave(): Promise<void> {
    await api.session.close().catch(() => {})
    this.#tabs.postMessage('out')
    this.#signedOut()
  }

  #signedOut(): void {
    this.#live?.stop()
    this.#live = null
    this.videos.clear()
    this.presets = []
    this.session = null
  }

  async #stillSignedIn(): Promise<boolean> {
    try {
      const session = await api.session.get()
      if (session.key_id === this.session?.key_id) this.session = session
      else {
        this.#signedOut() // another tab signed somebody else in
        await this.enter(session)
      }
      return true
    } catch (problem) {
      if (problem instanceof ApiError && problem.status === 401) {
        this.#signedOut()
        return false
      }
      return true // the server is away; it may come back
    }
  }

  keep(video: Video): void {
    if (!this.videos.has(video.id)) this.arrivals++
    this.#set(video)
  }

  //! What is over stays so: an answer may come later than the event that overtook it.
  #set(video: Video): void {
    const known = this.videos.get(video.id)
    if (!known || isActive(known) || !isActive(video)) this.videos.set(video.id, video)
  }

  //! Videos of a list that was asked for: news to the store, but not to whoever asked.
  stock(page: LibraryPage): void {
    for (const video of page.data) this.#set(video)
    this.folders = page.folders
  }

  forget(id: string): void {
    if (this.videos.delete(id)) this.arrivals++
  }

  async refreshActive(): Promise<void> {
    const pages = await Promise.all(
      ['queued', 'in_progress'].map((status) => api.library({ status, order: 'oldest', limit: 200 })),
    )
    for (const page of pages) this.stock(page)
  }

  //! Reads again what may have changed while no event came.
  async refresh(): Promise<void> {
    try {
      const waiting = this.queue.map((video) => video.id)
      await this.refreshActive()
      for (const id of waiting) await this.look(id)
      this.arrivals++
    } catch (problem) {
      if (!(problem instanceof ApiError && problem.status === 0)) this.fail(problem)
    }
  }

  //! A video as it is now; undefined when there is none.
  async look(id: string): Promise<Video | undefined> {
    try {
      const video = await api.videos.get(id)
      this.keep(video)
      return video
    } catch (problem) {
      if (!(problem instanceof ApiError && problem.status === 404)) throw problem
      this.forget(id)
      return undefined
    }
  }

  async loadPresets(): Promise<void> {
    try {
      this.presets = (await api.presets.list()).data
    } catch (problem) {
      this.fail(problem)
    }
  }

  //! Does something for the user; says what went wrong. undefined when it failed.
  async attempt<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await work()
    } catch (problem) {
      this.fail(problem)
      return undefined
    }
  }

  async change(id: string, change: Parameters<typeof api.videos.change>[1]): Promise<void> {
    const before = this.videos.get(id)
    if (before) this.videos.set(id, { ...before, ...change })
    const after = await this.attempt(() => api.videos.change(id, change))
    if (after) this.keep(after)
    else if (before) this.videos.set(id, before)
  }

  async cancel(id: string): Promise<void> {
    const video = await this.attempt(() => api.videos.cancel(id))
    if (video) this.keep(video)
  }

  async remove(ids: string[]): Promise<boolean> {
    for (const id of ids) {
      try {
        await api.videos.remove(id)
      } catch (problem) {
        if (!(problem instanceof ApiError && problem.status === 404)) {
          this.fail(problem)
          return false
        }
      }
      this.forget(id)
    }
    return true
  }

  fail(problem: unknown): void {
    if (problem instanceof DOMException && problem.name === 'AbortError') return
    if (problem instanceof ApiError && problem.status === 401 && this.session) return this.#signedOut()
    const unreachable = problem instanceof ApiError && problem.status === 0
    this.say('error', unreachable ? i18n.t.shell.unreachable : problem instanceof Error ? problem.message : String(problem))
  }

  say(kind: Notice['kind'], text: string, link?: Notice['link']): void {
    const notice = { id: ++this.#notices, kind, text, link }
    this.notices = [...this.notices.slice(-3), notice]
    // What can be acted upon waits for that, however long somebody takes.
    if (kind === 'done' && !link) setTimeout(() => this.dismiss(notice.id), noticeTime)
  }
  dismiss(id: number): void {
    this.notices = this.notices.filter((notice) => notice.id !== id)
  }
}

export const studio = new Studio()
