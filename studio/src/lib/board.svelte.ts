//! The storyboard that the user is about to make, and the one made last.

import { remember, remembered } from './memory'
import type { CardBody, Model, StoryboardMade, Video } from './types'

export interface Card {
  key: number
  kind: 'text' | 'picture' | 'clip'
  prompt: string
  seconds: number
  join: 'auto' | 'cut'
  picture: Blob | null
  clip: Video | null
}

export type Joint = 'begins' | 'extension' | 'picture' | 'cut' | 'cannot'

//! How a card will be joined to the one before it. The server says in the end how it was.
export function jointOf(card: Card, index: number, model: Model): Joint {
  if (index === 0) return 'begins'
  if (card.join === 'cut' || card.kind === 'clip') return 'cut'
  if (card.kind === 'picture') return 'picture'
  return model.can.extend ? 'extension' : 'cannot'
}

async function dataAddress(picture: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.onload = () => resolve(reader.result as string)
    reader.onerror = () => reject(reader.error)
    reader.readAsDataURL(picture)
  })
}

export async function bodyOf(card: Card): Promise<CardBody> {
  const seconds = card.kind === 'clip' && card.clip ? Number(card.clip.seconds) : card.seconds
  const body: CardBody = { seconds, join: card.join }
  if (card.prompt.trim() && card.kind !== 'clip') body.prompt = card.prompt.trim()
  if (card.kind === 'picture' && card.picture) body.image = await dataAddress(card.picture)
  if (card.kind === 'clip' && card.clip) body.video = card.clip.id
  return body
}

export function complete(card: Card): boolean {
  if (card.kind === 'clip') return card.clip !== null
  if (card.kind === 'picture') return card.picture !== null
  return !!card.prompt.trim()
}

export interface Last {
  video: string
  cards: { video: string; joined_by: string | null }[]
}

class Board {
  title = $state('')
  model = $state('')
  size = $state('')
  cards = $state<Card[]>([])
  last = $state.raw<Last | null>(null)
  #next = 0

  constructor() {
    try {
      const saved = JSON.parse(remembered('board', 'session') ?? 'null')
      if (!saved) return
      this.title = saved.title
      this.model = saved.model
      this.size = saved.size
      this.last = saved.last
      for (const card of saved.cards) this.cards.push({ ...card, key: this.#next++, picture: null })
    } catch {
      // an odd entry is as good as none
    }
  }

  save(): void {
    const cards = this.cards.map((card) => ({ ...card, picture: null }))
    remember('board', JSON.stringify({ title: this.title, model: this.model, size: this.size, last: this.last, cards }), 'session')
  }

  add(seconds: number): void {
    this.cards.push({ key: this.#next++, kind: 'text', prompt: '', seconds, join: 'auto', picture: null, clip: null })
  }
  move(from: number, to: number): void {
    if (to < 0 || to >= this.cards.length) return
    const [card] = this.cards.splice(from, 1)
    this.cards.splice(to, 0, card!)
  }
  made(answer: StoryboardMade): void {
    this.last = {
      video: answer.video.id,
      cards: answer.cards.map((card) => ({ video: card.video.id, joined_by: card.joined_by })),
    }
  }
}

export const board = new Board()
