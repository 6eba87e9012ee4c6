//! "Make again with a change": takes the user to where a clip of that kind is made, with its settings.

import * as api from './api'
import { board, type Card } from './board.svelte'
import { draft, settingsOf } from './draft.svelte'
import { clipAddress, router } from './router.svelte'
import { studio } from './store.svelte'
import type { Video } from './types'

class Again {
  //! The clip whose settings the tools of its source's page begin with.
  of = $state.raw<Video | null>(null)
}
export const again = new Again()

//! What was cut, joined or enlarged is made again from the clips that it came from.
export function canMakeAgain(video: Video): boolean {
  return video.kind === 'storyboard' ? !!video.cards : !!video.model && !!video.prompt && video.kind !== 'blend'
}

//! Where it leads; undefined when what it needs is gone.
export async function makeAgain(video: Video): Promise<'make' | 'source' | 'board' | undefined> {
  if (video.kind === 'storyboard') return refill(video)
  const source = video.source_video_id && (await studio.look(video.source_video_id))
  if (source) {
    again.of = video
    router.go(clipAddress(source.id))
    return 'source'
  }
  const model = studio.model(video.model) ?? studio.models[0]
  if (!model) return undefined
  draft.apply(settingsOf(video), model)
  draft.picture = null
  draft.again = video.id
  draft.variations = 1
  router.go('/')
  return 'make'
}

//! Puts a storyboard's cards back on the table. Pictures are not kept by the server: their places stay empty.
async function refill(whole: Video): Promise<'board'> {
  const cards: Omit<Card, 'key'>[] = []
  let model = ''
  for (const [i, { video: id, joined_by }] of (whole.cards ?? []).entries()) {
    const made = await studio.look(id)
    const blank = { prompt: '', seconds: 1, join: joined_by === 'cut' ? 'cut' : 'auto', picture: null, clip: null } as const
    if (!made) {
      cards.push({ ...blank, kind: 'text' })
      continue
    }
    const clip = made.kind === 'blend' ? await ledTo(id, whole.cards?.[i - 1]?.video) : made.created_at < whole.created_at ? made : null
    if (clip) {
      cards.push({ ...blank, kind: 'clip', clip, seconds: Number(clip.seconds) })
      continue
    }
    model ||= made.model
    const before = made.source_video_id ? await studio.look(made.source_video_id) : undefined
    const seconds = Number(made.seconds) - (made.kind === 'extension' && before ? Number(before.seconds) : 0)
    const picture = joined_by === 'conditions' || !made.prompt
    cards.push({ ...blank, kind: picture ? 'picture' : 'text', prompt: made.prompt ?? '', seconds })
  }
  board.fill(whole.title ?? '', model, whole.size, cards)
  router.go('/storyboard')
  return 'board'
}

//! The clip that a transition leads to: what it was made from beside the shot before.
async function ledTo(id: string, before: string | undefined): Promise<Video | null> {
  const { edges } = await api.videos.family(id)
  const from = edges.find((edge) => edge.to === id && edge.kind === 'blend' && edge.from !== before)?.from
  return (from && (await studio.look(from))) || null
}
