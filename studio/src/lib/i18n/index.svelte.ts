//! The language of the page: the browser's, unless the user chose another.

import { en, type Dictionary } from './en'
import { fr } from './fr'
import { remember, remembered } from '../memory'

export const languages = { en, fr } satisfies Record<string, Dictionary>
export type Language = keyof typeof languages

const isLanguage = (text: string | null): text is Language => text !== null && text in languages

function first(): Language {
  const chosen = remembered('language')
  if (isLanguage(chosen)) return chosen
  const known = navigator.languages.map((tag) => tag.slice(0, 2)).find(isLanguage)
  return known ?? 'en'
}

class I18n {
  language = $state<Language>(first())
  readonly t: Dictionary = $derived(languages[this.language])

  constructor() {
    document.documentElement.lang = this.language
  }

  choose(language: Language): void {
    this.language = language
    document.documentElement.lang = language
    remember('language', language)
  }
}

export const i18n = new I18n()
