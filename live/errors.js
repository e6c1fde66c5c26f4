/** What a reader can mend is told in one plain sentence, as `coldlab.ColdlabError` does it. */
export class ColdlabError extends Error {}
