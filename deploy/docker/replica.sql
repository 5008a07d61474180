-- The one account that readgate uses. The password is that of secrets/replica.password.
CREATE USER 'readonly_shared'@'%' IDENTIFIED BY 'change me' REQUIRE SSL;
GRANT SELECT, SHOW VIEW ON clinical.* TO 'readonly_shared'@'%';
-- How far it is behind; on MySQL this right is called REPLICATION CLIENT.
GRANT SLAVE MONITOR ON *.* TO 'readonly_shared'@'%';
