<?php
// The operator console by mysqli's prepared statements; environment as in README.md.
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$connection = mysqli_init();
$connection->ssl_set(null, null, getenv('CA_FILE'), null, null);
$connection->real_connect('127.0.0.1', getenv('USER_NAME'), getenv('USER_PASSWORD'), 'readgate', (int) getenv('PORT'), null, MYSQLI_CLIENT_SSL);
$sql = 'SELECT user, 40 + ? AS n, 1.5 AS half, NULL AS absent, ? AS text FROM sessions WHERE user = ? AND since <= NOW()';
$statement = $connection->prepare($sql);
foreach ([[2, "it's"], [-3, "x' OR '1'='1"]] as [$number, $text]) {
    $who = 'dora';
    $statement->bind_param('iss', $number, $text, $who);
    $statement->execute();
    foreach ($statement->get_result()->fetch_all() as $row) {
        echo implode('|', array_map(fn($value) => $value ?? 'null', $row)), "\n";
    }
}
$statement->close();
$statement = $connection->prepare('SELECT since FROM sessions WHERE user = ? AND since > ?');
$after = '2020-01-02 03:04:05';
$statement->bind_param('ss', $who, $after);
$statement->execute();
echo 'since ', (int) substr($statement->get_result()->fetch_row()[0], 0, 4) > 2020 ? 'True' : 'False', "\n";
try {
    $connection->prepare('SELECT * FROM nowhere WHERE a = ?');
} catch (mysqli_sql_exception $error) {
    echo 'failing ', $error->getCode(), "\n";
}
