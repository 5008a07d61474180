// The operator console by go-sql-driver, as Grafana's MySQL data source uses it: statements
// with arguments are prepared. Environment as in README.md.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
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
	config.DBName, config.TLSConfig, config.ParseTime = "readgate", "private", true
	pool, err := sql.Open("mysql", config.FormatDSN())
	must(err)
	defer pool.Close()
	pool.SetMaxOpenConns(1)

	statement, err := pool.Prepare("SELECT user, 40 + ? AS n, 1.5 AS half, NULL AS absent, ? AS text FROM sessions WHERE user = ? AND since <= NOW()")
	must(err)
	for _, round := range []struct {
		number int
		text   string
	}{{2, "it's"}, {-3, "x' OR '1'='1"}} {
		var user, text string
		var number int
		var half float64
		var nothing sql.NullString
		must(statement.QueryRow(round.number, round.text, "dora").Scan(&user, &number, &half, &nothing, &text))
		if nothing.Valid {
			log.Fatal("it is not NULL")
		}
		fmt.Printf("%s|%d|%v|null|%s\n", user, number, half, text)
	}
	must(statement.Close())
	var since time.Time
	after := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	must(pool.QueryRow("SELECT since FROM sessions WHERE user = ? AND since > ?", "dora", after).Scan(&since))
	if since.Year() > 2020 {
		fmt.Println("since True")
	}
	_, err = pool.Query("SELECT * FROM nowhere WHERE a = ?", 1)
	var told *mysql.MySQLError
	if errors.As(err, &told) {
		fmt.Println("failing", told.Number)
	}
}
