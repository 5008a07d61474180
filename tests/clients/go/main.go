// go-sql-driver; environment as in README.md, READS_FILE names reads.sql.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func show(what string, rows *sql.Rows, err error) {
	must(err)
	defer rows.Close()
	columns, err := rows.Columns()
	must(err)
	fmt.Println(what, columns)
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		targets := make([]interface{}, len(columns))
		for index := range values {
			targets[index] = &values[index]
		}
		must(rows.Scan(targets...))
		fmt.Println(values)
	}
	must(rows.Err())
}

func main() {
	pem, err := os.ReadFile(os.Getenv("CA_FILE"))
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	must(mysql.RegisterTLSConfig("private", &tls.Config{RootCAs: roots, ServerName: "localhost"}))
	config := mysql.NewConfig()
	config.User, config.Passwd = os.Getenv("USER_NAME"), os.Getenv("USER_PASSWORD")
	config.Net, config.Addr = "tcp", "127.0.0.1:"+os.Getenv("PORT")
	config.DBName, config.TLSConfig = "clinical", "private"
	pool, err := sql.Open("mysql", config.FormatDSN())
	must(err)
	defer pool.Close()

	reads, err := os.ReadFile(os.Getenv("READS_FILE"))
	must(err)
	for _, text := range strings.Split(strings.TrimSpace(string(reads)), "\n") {
		rows, err := pool.Query(text)
		show(text, rows, err)
	}
	statement, err := pool.Prepare("SELECT term, narrative FROM adverse_events WHERE subject_id = ? ORDER BY event_id")
	must(err)
	for subject := 17; subject < 20; subject++ {
		rows, err := statement.Query(subject)
		show("prepared", rows, err)
	}
	transaction, err := pool.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	must(err)
	rows, err := transaction.Query("SELECT COUNT(*) FROM items")
	show("in transaction", rows, err)
	must(transaction.Commit())
	if _, err := pool.Query("SELECT * FROM no_such_table"); err != nil {
		fmt.Println("failing read", err)
	}
	if _, err := pool.Exec("DELETE FROM forms"); err == nil {
		fmt.Println("WRITE WENT THROUGH")
	} else {
		fmt.Println("write refused")
	}
	must(pool.Ping())
}
