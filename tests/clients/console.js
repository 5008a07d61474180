// The operator console by what prepares in Node.js: console.js DRIVER (mysql2 or mariadb);
// environment as in README.md, NODE_PATH leads to the drivers.
'use strict';
const fs = require('fs');

const options = {
  host: '127.0.0.1',
  port: Number(process.env.PORT),
  user: process.env.USER_NAME,
  password: process.env.USER_PASSWORD,
  database: 'readgate',
  ssl: { ca: fs.readFileSync(process.env.CA_FILE) },
};

async function exercise(execute) {
  const sql = 'SELECT user, 40 + ? AS n, 1.5 AS half, NULL AS absent, ? AS text FROM sessions WHERE user = ? AND since <= NOW()';
  for (const [number, text] of [[2, "it's"], [-3, "x' OR '1'='1"]]) {
    for (const row of await execute(sql, [number, text, 'dora'])) {
      console.log(Object.values(row).map(String).join('|'));
    }
  }
  const after = new Date(Date.UTC(2020, 0, 2, 3, 4, 5));
  const [seen] = await execute('SELECT since FROM sessions WHERE user = ? AND since > ?', ['dora', after]);
  console.log('since', seen.since.getFullYear() > 2020 ? 'True' : 'False');
  try {
    await execute('SELECT * FROM nowhere WHERE a = ?', [1]);
  } catch (error) {
    console.log('failing', error.errno);
  }
}

async function mysql2() {
  const connection = await require('mysql2/promise').createConnection(options);
  await exercise(async (sql, values) => (await connection.execute(sql, values))[0]);
  await connection.end();
}

async function mariadb() {
  const connection = await require('mariadb').createConnection(options);
  await exercise((sql, values) => connection.execute(sql, values));
  await connection.end();
}

({ mysql2, mariadb })[process.argv[2]]().catch((error) => {
  console.error(error);
  process.exit(1);
});
