//! A preset as a file that people can give each other.

import type { Settings } from './types'

const format = 'praxinoscope.preset.v1'
const longestName = 100
const texts = ['prompt', 'negative_prompt', 'model', 'size'] as const
const numbers = ['num_frames', 'fps', 'seed', 'steps', 'guidance_scale', 'strength'] as const

export function presetFile(name: string, settings: Settings): Blob {
  return new Blob([JSON.stringify({ format, name, settings }, null, 2) + '\n'], { type: 'application/json' })
}

//! What a file says, if it is a preset: known settings of the right type, and nothing else.
export function readPreset(text: string): { name: string; settings: Settings } | null {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    return null
  }
  const file = content as { format?: unknown; name?: unknown; settings?: Record<string, unknown> } | null
  if (file?.format !== format || typeof file.name !== 'string' || !file.name.trim()) return null
  if (typeof file.settings !== 'object' || file.settings === null) return null
  const given = file.settings
  const settings: Settings = {}
  for (const name of texts) if (typeof given[name] === 'string') settings[name] = given[name]
  for (const name of numbers) if (Number.isFinite(given[name])) settings[name] = given[name] as number
  if (typeof given.loop === 'boolean') settings.loop = given.loop
  return { name: file.name.trim().slice(0, longestName), settings }
}

export function saveAs(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name.replace(/[^\p{L}\p{N}_ -]+/gu, '_') + '.preset.json'
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}
