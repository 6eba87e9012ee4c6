//! The storyboard that the user is about to make, and the one made last.

import { remember, remembered } from './memory'
import { type Lengths, lengths } from './shapes'
import type { CardBody, Join, Model, StoryboardMade, Video } from './types'

export interface Card {
  key: number
  kind: 'text' | 'picture' | 'clip'
  prompt: string
  seconds: number
  join: 'auto' | 'cut'
  picture: Blob | null
  clip: Video | null
}

//! 'picture' and 'clip': the model leads over to it. 'cannot' and 'rate': cuts that nobody asked for.
export type Joint = 'begins' | 'extension' | 'picture' | 'clip' | 'cut' | 'cannot' | 'rate'

//! How each card will be joined to the one before it, by the server's rules. The server says in the end how it was.
export function jointsOf(cards: Card[], model: Model): Joint[] {
  let rate = 0
  return cards.map((card, index) => {
    const joint = index === 0 ? 'begins' : jointOf(card, model, rate)
    const anew = joint !== 'extension' && joint !== 'picture' && joint !== 'clip'
    if (anew) rate = (card.kind === 'clip' && card.clip?.fps) || model.fps
    return joint
  })
}

function jointOf(card: Card, model: Model, rate: number): Joint {
  if (card.join === 'cut') return 'cut'
  if (!model.can.extend || (card.kind !== 'text' && !model.can.conditions)) return 'cannot'
  if (card.kind === 'clip' && card.clip && card.clip.fps !== rate) return 'rate'
  return card.kind === 'text' ? 'extension' : card.kind
}

//! The frames that a card may have; of a shot that goes on, those that are new.
export function framesOf(card: Card, joint: Joint, model: Model): Lengths & { fps: number } {
  if (card.kind === 'clip') return { least: 1, most: card.clip ? Math.max(1, Math.round(Number(card.clip.seconds) * card.clip.fps)) : 1, step: 1, fps: card.clip?.fps ?? model.fps }
  const all = lengths(model)
  const goesOn = joint === 'extension' || joint === 'picture'
  return { least: all.step, most: goesOn ? model.most_new_frames : all.most - model.frame_offset, step: all.step, fps: model.fps }
}

//! What a card comes to: no longer than can be made.
export function secondsIn(card: Card, joint: Joint, model: Model): number {
  const { most, fps } = framesOf(card, joint, model)
  return Math.min(card.seconds, most / fps)
}

//! What the model puts between a shot and a clip that it leads over to.
export function transitionSeconds(model: Model): number {
  const group = model.frame_group
  const seen = model.most_frames - model.most_new_frames
  const most = Math.floor((model.most_frames - 2 * seen + model.frame_offset) / group)
  const groups = Math.min(Math.max(1, most), Math.max(1, Math.round((0.7 * model.fps) / group)))
  return (groups * group - model.frame_offset) / model.fps
}

async function dataAddress(picture: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.onload = () => resolve(reader.result as string)
    reader.onerror = () => reject(reader.error)
    reader.readAsDataURL(picture)
  })
}

export async function bodyOf(card: Card, joint: Joint, model: Model): Promise<CardBody> {
  const body: CardBody = { seconds: secondsIn(card, joint, model), join: card.join }
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
  cards: { video: string; joined_by: Join | null }[]
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
  fill(title: string, model: string, size: string, cards: Omit<Card, 'key'>[]): void {
    Object.assign(this, { title, model, size })
    this.cards = cards.map((card) => ({ ...card, key: this.#next++ }))
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
