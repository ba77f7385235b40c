// What pages are given: rows, or why there are none.

/** An answer of the server that is no data; its text is for people. */
export class ApiError extends Error {
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

/** Rows, column by column. */
export class Data {
  constructor({ columns, kinds, about }) {
    this.columns = columns;
    this.kinds = kinds;
    this.about = about;
    this.length = Object.values(columns)[0]?.length ?? 0;
  }

  /** One object per row. */
  rows() {
    const names = Object.keys(this.columns);
    return Array.from({ length: this.length }, (_, i) => Object.fromEntries(names.map((n) => [n, this.columns[n][i]])));
  }

  /** Rows by the value of a column, in order of their appearance. */
  groups(column) {
    const found = new Map();
    for (const row of this.rows()) {
      if (!found.has(row[column])) found.set(row[column], []);
      found.get(row[column]).push(row);
    }
    return found;
  }
}
