import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Timestamp;

/** The operator console by MariaDB Connector/J with server preparation, then what DBeaver asks. */
public final class Console {
    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:mariadb://127.0.0.1:" + System.getenv("PORT")
            + "/readgate?useServerPrepStmts=true&useSsl=true&serverSslCert=" + System.getenv("CA_FILE");
        try (Connection connection = DriverManager.getConnection(
                url, System.getenv("USER_NAME"), System.getenv("USER_PASSWORD"))) {
            connection.setReadOnly(true);
            String sql = "SELECT user, 40 + ? AS n, 1.5 AS half, NULL AS absent, ? AS text FROM sessions WHERE user = ? AND since <= NOW()";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                String[] texts = {"it's", "x' OR '1'='1"};
                for (int round = 0; round < 2; round++) {
                    statement.setInt(1, round == 0 ? 2 : -3);
                    statement.setString(2, texts[round]);
                    statement.setString(3, "dora");
                    ResultSet row = statement.executeQuery();
                    while (row.next()) {
                        System.out.println(row.getString(1) + "|" + row.getLong(2) + "|" + row.getDouble(3)
                            + "|" + row.getString(4) + "|" + row.getString(5));
                    }
                }
            }
            try (PreparedStatement statement = connection.prepareStatement(
                    "SELECT since FROM sessions WHERE user = ? AND since > ?")) {
                statement.setString(1, "dora");
                statement.setTimestamp(2, Timestamp.valueOf("2020-01-02 03:04:05"));
                ResultSet row = statement.executeQuery();
                row.next();
                System.out.println("since " + (row.getTimestamp(1).toLocalDateTime().getYear() > 2020 ? "True" : "False"));
            }
            try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM nowhere WHERE a = ?")) {
                statement.setInt(1, 1);
                statement.executeQuery();
            } catch (SQLException error) {
                System.out.println("failing " + error.getErrorCode());
            }
            if (arguments.length > 0) {
                browse(connection);
            }
        }
    }

    /** What tools on JDBC show as a tree. */
    private static void browse(Connection connection) throws SQLException {
        var metadata = connection.getMetaData();
        for (ResultSet rows : new ResultSet[] {
            metadata.getCatalogs(), metadata.getTableTypes(),
            metadata.getTables("readgate", null, "sess%", null),
            metadata.getColumns("readgate", null, "sessions", "user"),
            metadata.getPrimaryKeys("readgate", null, "sessions"),
            metadata.getImportedKeys("readgate", null, "sessions"),
            metadata.getIndexInfo("readgate", null, "sessions", false, true),
            metadata.getProcedures("readgate", null, "%")}) {
            int count = 0;
            while (rows.next()) {
                count++;
            }
            System.out.println("rows " + count);
        }
    }
}
