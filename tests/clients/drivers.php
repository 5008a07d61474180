<?php
// PHP's drivers: drivers.php mysqli|pdo; environment as in README.md.
$port = (int) getenv('PORT');
$user = getenv('USER_NAME');
$password = getenv('USER_PASSWORD');
$ca = getenv('CA_FILE');
$reads = file(__DIR__ . '/reads.sql', FILE_IGNORE_NEW_LINES);
$sql = 'SELECT term, narrative FROM adverse_events WHERE subject_id = ? ORDER BY event_id';

function show($what, $value) { echo $what, ' ', json_encode($value, JSON_THROW_ON_ERROR), "\n"; }

function exercise($reads, $query) {
    foreach ($reads as $read) show($read, $query($read));
    try {
        $query('SELECT * FROM no_such_table');
    } catch (Exception $error) {
        show('failing read', strpos($error->getMessage(), 'no_such_table') !== false);
    }
    try {
        $query('DELETE FROM forms');
        echo "WRITE WENT THROUGH\n";
    } catch (Exception $error) {
        echo "write refused\n";
    }
    show('still here', $query('SELECT COUNT(*) FROM forms'));
}

if ($argv[1] === 'mysqli') {
    mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
    $connection = mysqli_init();
    $connection->ssl_set(null, null, $ca, null, null);
    $connection->real_connect('127.0.0.1', $user, $password, 'clinical', $port, null, MYSQLI_CLIENT_SSL);
    $connection->set_charset('utf8mb4');
    exercise($reads, fn ($read) => $connection->query($read)->fetch_all(MYSQLI_ASSOC));
    $statement = $connection->prepare($sql);
    $subject = 17;
    $statement->bind_param('i', $subject);
    for (; $subject < 20; $subject++) {
        $statement->execute();
        show('prepared', $statement->get_result()->fetch_all());
    }
    $statement->close();
    show('ping', $connection->ping());
    show('schema', $connection->select_db('information_schema'));
    show('reset', strpos($connection->stat(), 'Uptime') === 0);
    $connection->close();
} else {
    foreach ([true, false] as $emulate) {
        $connection = new PDO("mysql:host=127.0.0.1;port=$port;dbname=clinical;charset=utf8mb4", $user, $password, [
            PDO::MYSQL_ATTR_SSL_CA => $ca,
            PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
            PDO::ATTR_EMULATE_PREPARES => $emulate,
        ]);
        exercise($reads, fn ($read) => $connection->query($read)->fetchAll(PDO::FETCH_ASSOC));
        $statement = $connection->prepare($sql);
        foreach ([17, 18, 19] as $subject) {
            $statement->execute([$subject]);
            show('prepared', $statement->fetchAll());
        }
        $connection->beginTransaction();
        show('in transaction', $connection->query('SELECT COUNT(*) FROM items')->fetchAll());
        $connection->commit();
    }
}
