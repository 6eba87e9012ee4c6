//! Numbers as people read them, in their language.

import { i18n } from './i18n/index.svelte'

//! The page's language as the browser's country writes it: 25 Nov in Britain.
const locale = () => navigator.languages.find((tag) => tag.startsWith(i18n.language)) ?? i18n.language

const number = (value: number, digits: number) =>
  new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value)

export function seconds(value: number | string): string {
  const s = Number(value)
  return `${number(s, s < 10 ? 2 : 1)} s`
}

//! How long something takes: roughly, and never "0 s".
export function roughly(value: number): string {
  const s = Math.max(1, Math.round(value))
  if (s < 90) return `${number(s, 0)} s`
  if (s < 90 * 60) return `${number(s / 60, 0)} min`
  return `${number(s / 3600, 1)} h`
}

export function bytes(value: number): string {
  const units = i18n.t.units.bytes
  let size = value
  let unit = 0
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000
    unit++
  }
  return `${number(size, size < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`
}

export const plain = (value: number, digits = 2) => number(value, digits)

export function date(unix: number): string {
  return new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'short' }).format(unix * 1000)
}

export function clock(value: number): string {
  const minutes = Math.floor(value / 60)
  const rest = value - minutes * 60
  return `${minutes}:${rest.toFixed(2).padStart(5, '0')}`
}

export function dimensions(size: string): { width: number; height: number } {
  const [width = 1, height = 1] = size.split('x').map(Number)
  return { width, height }
}
export const sizeText = (size: string) => size.replace('x', ' × ')
