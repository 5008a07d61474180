import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** MariaDB Connector/J; environment as in README.md, READS_FILE names reads.sql. */
public final class Driver {
    private static void show(String what, ResultSet rows) throws SQLException {
        StringBuilder text = new StringBuilder(what);
        int columns = rows.getMetaData().getColumnCount();
        while (rows.next()) {
            text.append('\n');
            for (int column = 1; column <= columns; column++) {
                text.append(rows.getString(column)).append('\t');
            }
        }
        System.out.println(text);
    }

    private static void exercise(String more) throws Exception {
        String url = "jdbc:mariadb://127.0.0.1:" + System.getenv("PORT")
            + "/clinical?useSsl=true&serverSslCert=" + System.getenv("CA_FILE") + more;
        try (Connection connection = DriverManager.getConnection(
                url, System.getenv("USER_NAME"), System.getenv("USER_PASSWORD"))) {
            connection.setReadOnly(true);
            try (Statement statement = connection.createStatement()) {
                for (String sql : Files.readAllLines(Path.of(System.getenv("READS_FILE")))) {
                    show(sql, statement.executeQuery(sql));
                }
            }
            String sql = "SELECT term, narrative FROM adverse_events WHERE subject_id = ? ORDER BY event_id";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                for (int subject = 17; subject < 20; subject++) {
                    statement.setInt(1, subject);
                    show("prepared", statement.executeQuery());
                }
            }
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(500);
                statement.setQueryTimeout(30);
                ResultSet rows = statement.executeQuery("SELECT * FROM lab_results LIMIT 5000");
                int count = 0;
                while (rows.next()) {
                    count++;
                }
                System.out.println("streamed " + count);
                try {
                    statement.executeQuery("SELECT * FROM no_such_table");
                } catch (SQLException error) {
                    System.out.println("failing read " + error.getErrorCode() + " " + error.getSQLState());
                }
                try {
                    statement.executeUpdate("DELETE FROM forms");
                    System.out.println("WRITE WENT THROUGH");
                } catch (SQLException error) {
                    System.out.println("write refused");
                }
                show("still here", statement.executeQuery("SELECT COUNT(*) FROM forms"));
            }
            DatabaseMetaData metadata = connection.getMetaData();
            show("tables", metadata.getTables("clinical", null, "%", null));
            show("columns", metadata.getColumns("clinical", null, "subjects", null));
            show("keys", metadata.getImportedKeys("clinical", null, "visits"));
            connection.setAutoCommit(false);
            connection.rollback();
            connection.setReadOnly(false);
            System.out.println("valid " + connection.isValid(5));
        }
    }

    public static void main(String[] arguments) throws Exception {
        exercise("");
        exercise("&useServerPrepStmts=true");
    }
}
