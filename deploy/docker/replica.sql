-- The one account that readgate uses. The password is that of secrets/replica.password.
CREATE USER 'readonly_shared'@'%' IDENTIFIED BY 'change me' REQUIRE SSL;
GRANT SELECT, SHOW VIEW ON clinical.* TO 'readonly_shared'@'%';
