//! What a model makes: sizes and lengths.

import { dimensions } from './format'
import type { Model } from './types'

export interface Lengths {
  least: number
  most: number
  step: number
}

//! Frames that the model makes: whole groups and an offset (8k + 1, say), at least one group.
export function lengths(model: Model): Lengths {
  const step = Math.max(1, model.frame_group)
  const least = step + model.frame_offset
  const groups = Math.max(1, Math.floor((model.most_frames - model.frame_offset) / step))
  return { least, most: groups * step + model.frame_offset, step }
}

export function nearestLength(model: Model, frames: number): number {
  const { least, most, step } = lengths(model)
  return Math.min(most, Math.max(least, least + Math.round((frames - least) / step) * step))
}

//! A video of n frames lasts from the first to the last.
export const secondsOf = (frames: number, fps: number) => Math.max(1, frames - 1) / fps

export function fits(model: Model, size: string): boolean {
  const { width, height } = dimensions(size)
  const whole = width % model.size_multiple === 0 && height % model.size_multiple === 0
  return whole && width > 0 && height > 0 && (!model.most_pixels || width * height <= model.most_pixels)
}

//! A frame of this shape inside a box of `side`.
export function outline(size: string, side: number): { width: number; height: number } {
  const { width, height } = dimensions(size)
  const scale = side / Math.max(width, height)
  return { width: Math.max(4, width * scale), height: Math.max(4, height * scale) }
}
