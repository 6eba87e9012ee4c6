//! Files on their way to the user. Other formats than MP4 are made first; that goes on whatever page one is on.

import * as api from './api'
import { addressOf, ApiError } from './api'
import { studio } from './store.svelte'

interface Download {
  id: string
  format: string
  //! Percent of the frames.
  progress: number
}

const firstWait = 400
const longestWait = 2000
const sleep = (time: number) => new Promise((done) => setTimeout(done, time))

function save(id: string, format: string): void {
  const link = document.createElement('a')
  link.href = addressOf.download(id, format)
  link.download = ''
  link.click()
}

class Downloads {
  #making = $state<Download[]>([])

  of(id: string): Download[] {
    return this.#making.filter((one) => one.id === id)
  }

  async start(id: string, format: string): Promise<void> {
    if (format === 'mp4') return save(id, format)
    if (this.#find(id, format)) return
    this.#making.push({ id, format, progress: 0 })
    try {
      await this.#made(id, format)
      save(id, format)
      await studio.look(id) // it takes more room now
    } catch (problem) {
      studio.fail(problem)
    } finally {
      this.#making = this.#making.filter((one) => one.id !== id || one.format !== format)
    }
  }

  #find(id: string, format: string): Download | undefined {
    return this.#making.find((one) => one.id === id && one.format === format)
  }

  async #made(id: string, format: string): Promise<void> {
    for (let wait = firstWait; ; wait = Math.min(wait * 1.5, longestWait)) {
      try {
        const answer = await api.videos.convert(id, format)
        if (answer.status === 'ready') return
        if (answer.error) throw new Error(answer.error.message)
        const here = this.#find(id, format)
        if (here) here.progress = answer.progress
      } catch (problem) {
        // A server that is away or busy comes back.
        if (!(problem instanceof ApiError && [0, 503].includes(problem.status)) || !studio.session) throw problem
      }
      await sleep(wait)
    }
  }
}

export const downloads = new Downloads()
