//! Light or dark: as the system says, unless the user chose.

import { remember, remembered } from './memory'

export type Theme = 'system' | 'light' | 'dark'

class Colours {
  theme = $state<Theme>('system')

  constructor() {
    const chosen = remembered('theme')
    this.choose(chosen === 'light' || chosen === 'dark' ? chosen : 'system')
  }

  choose(theme: Theme): void {
    this.theme = theme
    remember('theme', theme === 'system' ? null : theme)
    if (theme === 'system') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = theme
  }
}

export const colours = new Colours()
