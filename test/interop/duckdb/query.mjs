// Runs the SQL on standard input and prints one JSON array a row.
import { DuckDBInstance } from '@duckdb/node-api'
import { readFileSync } from 'node:fs'

const connection = await (await DuckDBInstance.create(':memory:')).connect()
const result = await connection.runAndReadAll(readFileSync(0, 'utf8'))
for (const row of result.getRowsJson()) console.log(JSON.stringify(row))
