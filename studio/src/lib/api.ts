//! Calls to the server. Every address is of this origin; the session's cookie goes along by itself.

import type {
  AuditEntry, Conversion, Estimate, Family, Key, LibraryPage, LibraryQuery, Model, Part, Preset, Session, Settings, Storage,
  StoryboardBody, StoryboardMade, Video,
} from './types'

//! An answer that is an error. `message` is the server's sentence and says what to do.
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly param: string | null = null,
  ) {
    super(message)
  }
}

type Body = object | FormData | undefined

async function call<Answer>(method: string, path: string, body?: Body, signal?: AbortSignal): Promise<Answer> {
  const form = body instanceof FormData
  let response: Response
  try {
    response = await fetch(path, {
      method,
      credentials: 'same-origin',
      headers: body && !form ? { 'content-type': 'application/json' } : {},
      body: form ? body : body && JSON.stringify(body),
      signal,
    })
  } catch (problem) {
    if (signal?.aborted) throw problem
    throw new ApiError(0, 'unreachable', '')
  }
  if (response.ok) return (response.status === 204 ? undefined : await response.json()) as Answer
  const answer = await response.json().catch(() => null)
  const error = answer?.error
  throw new ApiError(response.status, error?.code ?? '', error?.message ?? response.statusText, error?.param ?? null)
}

const get = <Answer>(path: string, signal?: AbortSignal) => call<Answer>('GET', path, undefined, signal)
const post = <Answer>(path: string, body: Body) => call<Answer>('POST', path, body)
const part = encodeURIComponent

function query(values: Record<string, string | number | boolean | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== '' && value !== false)
  return given.length ? '?' + new URLSearchParams(given.map(([name, value]) => [name, String(value)])) : ''
}

//! JSON, or a form where a picture goes along: that may be large.
function withPicture(body: object, picture: Blob | null): Body {
  if (!picture) return body
  const form = new FormData()
  for (const [name, value] of Object.entries(body)) form.set(name, String(value))
  form.set('input_reference', picture, 'first-frame')
  return form
}

export const session = {
  get: () => get<Session>('/prax/v1/session'),
  open: (secret: { token: string } | { key: string }) => post<Session>('/prax/v1/session', secret),
  close: () => call<void>('DELETE', '/prax/v1/session'),
}

export const models = () => get<{ data: Model[]; memory_bytes: number }>('/prax/v1/models')
export const estimate = (settings: Settings, signal?: AbortSignal) =>
  call<Estimate>('POST', '/prax/v1/estimate', settings, signal)

export const videos = {
  get: (id: string) => get<Video>(`/v1/videos/${part(id)}`),
  create: (settings: Settings, picture: Blob | null) => post<Video>('/v1/videos', withPicture(settings, picture)),
  remix: (id: string, body: Settings) => post<Video>(`/v1/videos/${part(id)}/remix`, body),
  extend: (id: string, body: Settings & { seconds: number; direction?: 'before' | 'after' }) =>
    post<Video>('/v1/videos/extensions', { ...body, video: { id } }),
  cut: (parts: Part[], title?: string) => post<Video>('/prax/v1/videos/cut', { parts, title }),
  blend: (first: string, second: string, seconds: number, prompt?: string) =>
    post<Video>('/prax/v1/videos/blend', { first, second, seconds, prompt }),
  upscale: (video: string, factor: number) => post<Video>('/prax/v1/videos/upscale', { video, factor }),
  change: (id: string, change: { title?: string; favourite?: boolean; folder?: string }) =>
    call<Video>('PATCH', `/prax/v1/videos/${part(id)}`, change),
  cancel: (id: string) => post<Video>(`/prax/v1/videos/${part(id)}/cancel`, undefined),
  remove: (id: string) => call<unknown>('DELETE', `/v1/videos/${part(id)}`),
  convert: (id: string, format: string) => post<Conversion>(`/prax/v1/videos/${part(id)}/conversions`, { format }),
  family: (id: string) => get<Family>(`/prax/v1/videos/${part(id)}/family`),
}

export const storyboard = (body: StoryboardBody) => post<StoryboardMade>('/prax/v1/storyboards', body)

export const library = (
  wanted: Partial<LibraryQuery> & { status?: string; after?: string; limit?: number },
  signal?: AbortSignal,
) => get<LibraryPage>('/prax/v1/library' + query(wanted), signal)

export const presets = {
  list: () => get<{ data: Preset[] }>('/prax/v1/presets'),
  add: (name: string, settings: Settings) => post<Preset>('/prax/v1/presets', { name, settings }),
  rename: (id: string, name: string) => call<Preset>('PATCH', `/prax/v1/presets/${part(id)}`, { name }),
  remove: (id: string) => call<unknown>('DELETE', `/prax/v1/presets/${part(id)}`),
}

export interface NewKey {
  name: string
  note?: string
  scopes: string
  models?: string[]
  expires_in_seconds?: number
  requests_per_minute?: number
  max_running?: number
  max_queued?: number
  daily_seconds?: number
}

export const keys = {
  list: () => get<{ data: Key[] }>('/prax/v1/keys'),
  add: (key: NewKey) => post<Key & { key: string }>('/prax/v1/keys', key),
  rotate: (id: string) => post<Key & { key: string }>(`/prax/v1/keys/${part(id)}/rotate`, undefined),
  revoke: (id: string, cancel: boolean) =>
    call<unknown>('DELETE', `/prax/v1/keys/${part(id)}${query({ cancel_jobs: cancel })}`),
  //! All but the caller's own, in one step.
  revokeOthers: (cancel: boolean) =>
    post<unknown>('/prax/v1/keys/revoke_all' + query({ keep_own: true, cancel_jobs: cancel }), undefined),
}

export const storage = () => get<Storage>('/prax/v1/storage')
export const audit = (after: number, limit: number) =>
  get<{ data: AuditEntry[] }>('/prax/v1/audit' + query({ after: after || undefined, limit }))

export const addressOf = {
  content: (id: string) => `/v1/videos/${part(id)}/content`,
  thumbnail: (id: string) => `/v1/videos/${part(id)}/content?variant=thumbnail`,
  download: (id: string, format: string) => `/prax/v1/videos/${part(id)}/download?format=${format}`,
}
