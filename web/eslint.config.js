import js from '@eslint/js';
import globals from 'globals';

export default [
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      'no-console': 'error',
      'no-implicit-coercion': 'error',
      'no-var': 'error',
      'object-shorthand': 'error',
      'prefer-const': 'error',
      'prefer-template': 'error',
    },
  },
  { files: ['src/**'], languageOptions: { globals: globals.browser } },
  { files: ['src/worker.js'], languageOptions: { globals: globals.sharedWorker } },
  { files: ['test/**', '*.config.js'], languageOptions: { globals: globals.node } },
  // `tests/page` is checked with this file too; parts of its stories run inside the browser.
  {
    files: ['*.test.js', 'board.js', 'eventually.js', 'hub.js', 'story.js'],
    languageOptions: { globals: { ...globals.node, document: 'readonly' } },
  },
];
