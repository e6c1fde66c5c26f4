/**
 * The page's side of the worker: questions become promises.
 *
 * The idea that holds this file together: the worker starts with the first question, so that a page that nobody touches
 * loads nothing.
 */

import { ColdlabError } from "./errors.js";

export class Client {
  /** base: the address of the folder of the weights. */
  constructor(base) {
    Object.assign(this, { base, worker: null, open: new Map(), last: 0 });
  }

  /** The answer to a job; told(part) hears its parts. The promise has `cancel()`. */
  ask(job, asked, told = () => {}) {
    this.worker ??= this.start();
    const id = ++this.last;
    const answer = new Promise((resolve, reject) => this.open.set(id, { resolve, reject, told }));
    this.worker.postMessage({ id, job, base: this.base, ...asked });
    answer.cancel = () => this.worker?.postMessage({ cancel: id });
    return answer;
  }

  start() {
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data: { id, part, done, error } }) => {
      const question = this.open.get(id);
      if (part) return question.told(part);
      this.open.delete(id);
      return error ? question.reject(new ColdlabError(error)) : question.resolve(done);
    };
    worker.onerror = () => {
      for (const { reject } of this.open.values())
        reject(new ColdlabError("The lab could not start; try again, or load the page again."));
      this.open.clear();
      this.worker = null; // the next question starts another
    };
    return worker;
  }
}
