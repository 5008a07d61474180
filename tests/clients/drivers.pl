#!/usr/bin/perl
# Perl's drivers: drivers.pl mysql|MariaDB; environment as in README.md.
use strict;
use warnings;
use DBI;
use FindBin;

binmode STDOUT, ':utf8';
my $driver = $ARGV[0];
my $prefix = $driver eq 'mysql' ? 'mysql' : 'mariadb';
my $dsn = "dbi:$driver:database=clinical;host=127.0.0.1;port=$ENV{PORT};"
    . "${prefix}_ssl=1;${prefix}_ssl_ca_file=$ENV{CA_FILE}";
# DBD::mysql on MariaDB's C library can't enforce TLS, only use it; readgate enforces it.
$dsn .= ';mysql_ssl_optional=1' if $driver eq 'mysql';
my %options = (RaiseError => 1, PrintError => 0);
$options{mysql_enable_utf8mb4} = 1 if $driver eq 'mysql';

open my $file, '<:utf8', "$FindBin::Bin/reads.sql" or die $!;
chomp(my @reads = <$file>);

sub show {
    my ($what, $rows) = @_;
    print "$what\n", map { join("\t", map { $_ // 'NULL' } @$_) . "\n" } @$rows;
}

for my $server_side (0, 1) {
    my $connection = DBI->connect($dsn, $ENV{USER_NAME}, $ENV{USER_PASSWORD},
        { %options, "${prefix}_server_prepare" => $server_side });
    show($_, $connection->selectall_arrayref($_)) for @reads;
    my $statement = $connection->prepare(
        'SELECT term, narrative FROM adverse_events WHERE subject_id = ? ORDER BY event_id');
    for my $subject (17 .. 19) {
        $statement->execute($subject);
        show('prepared', $statement->fetchall_arrayref);
    }
    eval { $connection->selectall_arrayref('SELECT * FROM no_such_table') };
    print 'failing read ', $connection->err, ' ', $connection->state, "\n";
    print eval { $connection->do('DELETE FROM forms'); 1 } ? "WRITE WENT THROUGH\n" : "write refused\n";
    show('still here', $connection->selectall_arrayref('SELECT COUNT(*) FROM forms'));
    print 'ping ', $connection->ping ? 1 : 0, "\n";
    print join(',', sort map { /([^.]+)$/ } $connection->tables(undef, 'clinical', '%', 'TABLE')), "\n";
    $connection->disconnect;
}
