//! What the user is about to make. It outlives a reload; only the picture does not.

import { remember, remembered } from './memory'
import { fits, nearestLength } from './shapes'
import type { Model, Settings, Video } from './types'

export const largestSeed = 4_294_967_295
export const drawSeed = () => crypto.getRandomValues(new Uint32Array(1))[0]!

const kept = [
  'prompt', 'negative', 'model', 'size', 'frames', 'seed', 'steps', 'guidance', 'strength', 'loop', 'variations',
] as const

class Draft {
  prompt = $state('')
  negative = $state('')
  model = $state('')
  size = $state('')
  frames = $state(0)
  seed = $state<number | null>(null)
  steps = $state<number | null>(null)
  guidance = $state<number | null>(null)
  strength = $state<number | null>(null)
  loop = $state(false)
  variations = $state(1)
  picture = $state.raw<Blob | null>(null)
  //! The clip that is made again with a change.
  again = $state('')

  constructor() {
    try {
      const saved = JSON.parse(remembered('draft', 'session') ?? '{}')
      for (const name of kept) if (name in saved) (this as Record<string, unknown>)[name] = saved[name]
    } catch {
      // an odd entry is as good as none
    }
  }

  save(): void {
    const saved = Object.fromEntries(kept.map((name) => [name, this[name]]))
    remember('draft', JSON.stringify(saved), 'session')
  }

  //! Makes the draft one that this model can make.
  choose(model: Model): void {
    const other = this.model !== model.id
    this.model = model.id
    if (!this.size || !fits(model, this.size)) this.size = model.default_size
    this.frames = other || !this.frames ? model.default_frames : nearestLength(model, this.frames)
    if (!model.can.loop) this.loop = false
  }

  settings(model: Model, seed: number | null = this.seed): Settings {
    const settings: Settings = {
      prompt: this.prompt.trim(),
      model: model.id,
      size: this.size,
      num_frames: this.frames,
    }
    if (model.can.negative_prompt && this.negative.trim()) settings.negative_prompt = this.negative.trim()
    if (seed !== null) settings.seed = seed
    if (this.steps !== null) settings.steps = this.steps
    if (this.guidance !== null) settings.guidance_scale = this.guidance
    if (this.strength !== null && this.picture) settings.strength = this.strength
    if (this.loop && model.can.loop) settings.loop = true
    return settings
  }

  apply(settings: Settings, model: Model): void {
    this.choose(model)
    if (settings.prompt !== undefined) this.prompt = settings.prompt
    this.negative = settings.negative_prompt ?? ''
    if (settings.size && fits(model, settings.size)) this.size = settings.size
    if (settings.num_frames) this.frames = nearestLength(model, settings.num_frames)
    this.seed = settings.seed ?? null
    this.steps = settings.steps ?? null
    this.guidance = settings.guidance_scale ?? null
    this.strength = settings.strength ?? null
    this.loop = settings.loop ?? false
    this.again = ''
  }
}

export const draft = new Draft()

//! What another way of making a clip takes over from one that is made again.
export function sameAs(video: Video | null): Settings {
  if (!video) return {}
  const { seed, steps, guidance_scale, negative_prompt } = settingsOf(video)
  return { seed, steps, guidance_scale, negative_prompt }
}

export function settingsOf(video: Video): Settings {
  const settings: Settings = {
    prompt: video.prompt ?? '',
    model: video.model,
    size: video.size,
    num_frames: video.num_frames,
    seed: video.seed,
  }
  if (video.negative_prompt) settings.negative_prompt = video.negative_prompt
  if (video.steps !== null) settings.steps = video.steps
  if (video.guidance_scale !== null) settings.guidance_scale = video.guidance_scale
  if (video.strength !== null) settings.strength = video.strength
  if (video.loop) settings.loop = true
  return settings
}
