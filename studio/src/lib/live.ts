//! One event stream a tab. The browser itself goes on with Last-Event-ID where a connection broke; what it gives up on
//! (the server was away, or refused) is opened anew here, and whoever listens reads again what it may have missed.

import type { Video } from './types'

export type Connection = 'connecting' | 'live' | 'waiting'

export interface Listener {
  changed(video: Video): void
  deleted(id: string): void
  connection(state: Connection): void
  //! The stream was away: events may be missing.
  resumed(): void
  //! The stream ended, perhaps because the session is over. False when it is.
  refused(): Promise<boolean>
}

const names = ['video.queued', 'video.in_progress', 'video.completed', 'video.failed', 'video.cancelled']
const firstWait = 500
const longestWait = 10_000
//! A page that nobody looks at gives its connection back: a browser has six for all tabs.
const hiddenTime = 60_000

export class LiveEvents {
  #source: EventSource | null = null
  #wait = firstWait
  #timer: ReturnType<typeof setTimeout> | undefined
  #hidden: ReturnType<typeof setTimeout> | undefined
  #wasLive = false
  #stopped = false

  constructor(readonly listener: Listener) {
    document.addEventListener('visibilitychange', this.#visibility)
    window.addEventListener('online', this.#soon)
    this.#open()
  }

  stop(): void {
    this.#stopped = true
    document.removeEventListener('visibilitychange', this.#visibility)
    window.removeEventListener('online', this.#soon)
    clearTimeout(this.#timer)
    clearTimeout(this.#hidden)
    this.#source?.close()
  }

  #open(): void {
    clearTimeout(this.#timer)
    this.#source?.close()
    const source = (this.#source = new EventSource('/prax/v1/events'))
    source.onopen = () => {
      this.#wait = firstWait
      this.listener.connection('live')
      if (this.#wasLive) this.listener.resumed()
      this.#wasLive = true
    }
    source.onerror = () => void this.#broken(source)
    for (const name of names)
      source.addEventListener(name, (event) => this.listener.changed(JSON.parse((event as MessageEvent).data)))
    source.addEventListener('video.deleted', (event) =>
      this.listener.deleted(JSON.parse((event as MessageEvent).data).id),
    )
  }

  async #broken(source: EventSource): Promise<void> {
    if (this.#stopped || source !== this.#source) return
    // Signed out, perhaps in another tab? A browser that tries again by itself would only find out later.
    const welcome = await this.listener.refused()
    if (!welcome || this.#stopped || source !== this.#source || source.readyState === EventSource.OPEN) return
    this.listener.connection('waiting')
    if (source.readyState !== EventSource.CLOSED) return // the browser tries again
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#open(), this.#wait)
    this.#wait = Math.min(this.#wait * 2, longestWait)
  }

  #soon = (): void => {
    if (this.#source?.readyState === EventSource.CLOSED) this.#open()
  }

  #visibility = (): void => {
    clearTimeout(this.#hidden)
    if (document.hidden) this.#hidden = setTimeout(() => this.#source?.close(), hiddenTime)
    else this.#soon()
  }
}
