// The Node.js drivers mysql2 and mariadb: node.js DRIVER; environment as in README.md.
// NODE_PATH leads to the drivers.
'use strict';
const fs = require('fs');
const path = require('path');

const reads = fs.readFileSync(path.join(__dirname, 'reads.sql'), 'utf8').trim().split('\n');
const options = {
  host: '127.0.0.1',
  port: Number(process.env.PORT),
  user: process.env.USER_NAME,
  password: process.env.USER_PASSWORD,
  database: 'clinical',
  ssl: { ca: fs.readFileSync(process.env.CA_FILE) },
};

function show(what, value) {
  const text = JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? `${item}n` : item));
  console.log(what, text);
}

async function exercise(query, execute) {
  for (const sql of reads) show(sql, await query(sql));
  // Not in reads.sql: MariaDB's ODBC can't read MySQL's JSON. Both drivers make objects of it.
  const json = 'SELECT settings FROM studies WHERE study_id > ? ORDER BY study_id';
  show('json', [await query('SELECT layout FROM forms'), await execute(json, [0])]);
  const sql = 'SELECT term, narrative FROM adverse_events WHERE subject_id = ? ORDER BY event_id';
  for (const subject of [17, 18, 19]) show('prepared', await execute(sql, [subject]));
  try {
    await query('SELECT * FROM no_such_table');
  } catch (error) {
    show('failing read', [error.errno, error.sqlState]);
  }
  try {
    await query('DELETE FROM forms');
    console.log('WRITE WENT THROUGH');
  } catch (error) {
    console.log('write refused');
  }
  show('still here', await query('SELECT COUNT(*) FROM forms'));
}

async function mysql2() {
  const connection = await require('mysql2/promise').createConnection(options);
  await exercise(
    async (sql) => (await connection.query(sql))[0],
    async (sql, values) => (await connection.execute(sql, values))[0],
  );
  await connection.ping();
  await connection.end();
}

async function mariadb() {
  const pool = require('mariadb').createPool({ ...options, connectionLimit: 1 });
  for (let round = 0; round < 2; round += 1) {
    const connection = await pool.getConnection();
    await exercise((sql) => connection.query(sql), (sql, values) => connection.execute(sql, values));
    await connection.release();
  }
  await pool.end();
}

({ mysql2, mariadb })[process.argv[2]]().catch((error) => {
  console.error(error);
  process.exit(1);
});
