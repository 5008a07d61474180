-- The clinical sample: invented studies with the same rows on every run and on both
-- servers. No RAND() and no clock; what looks random comes from CRC32 of the row's id.
-- About 222,000 rows in a few seconds.
SET NAMES utf8mb4;
SET SESSION time_zone = '+00:00';
DROP DATABASE IF EXISTS clinical;
CREATE DATABASE clinical CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
USE clinical;

CREATE TABLE studies (
    study_id INT PRIMARY KEY,
    protocol_no VARCHAR(20) NOT NULL UNIQUE,
    title VARCHAR(200) NOT NULL,
    phase ENUM('I', 'II', 'III', 'IV') NOT NULL,
    started_on DATE NOT NULL,
    closed_on DATE NULL,
    settings JSON NOT NULL
);

CREATE TABLE sites (
    site_id INT PRIMARY KEY,
    study_id INT NOT NULL,
    site_no CHAR(3) NOT NULL,
    name VARCHAR(100) NOT NULL,
    country CHAR(2) NOT NULL,
    investigator VARCHAR(80) NULL,
    UNIQUE KEY (study_id, site_no),
    FOREIGN KEY (study_id) REFERENCES studies (study_id)
);

CREATE TABLE subjects (
    subject_id INT PRIMARY KEY,
    site_id INT NOT NULL,
    screening_no VARCHAR(12) NOT NULL,
    sex ENUM('F', 'M') NOT NULL,
    birth_year YEAR NOT NULL,
    arm VARCHAR(20) NULL,
    status VARCHAR(20) NOT NULL,
    consent_scan BLOB NULL,
    KEY (site_id),
    FOREIGN KEY (site_id) REFERENCES sites (site_id)
);

CREATE TABLE visits (
    visit_id INT PRIMARY KEY,
    subject_id INT NOT NULL,
    visit_no TINYINT UNSIGNED NOT NULL,
    visit_name VARCHAR(20) NOT NULL,
    planned_on DATE NOT NULL,
    held_at DATETIME(3) NULL,
    UNIQUE KEY (subject_id, visit_no),
    FOREIGN KEY (subject_id) REFERENCES subjects (subject_id)
);

CREATE TABLE forms (
    form_id INT PRIMARY KEY,
    code VARCHAR(10) NOT NULL UNIQUE,
    label VARCHAR(60) NOT NULL,
    layout JSON NULL
);

CREATE TABLE items (
    item_id INT PRIMARY KEY,
    visit_id INT NOT NULL,
    form_id INT NOT NULL,
    item_code VARCHAR(20) NOT NULL,
    value_text VARCHAR(60) NULL,
    entered_by VARCHAR(20) NOT NULL,
    KEY (visit_id),
    FOREIGN KEY (visit_id) REFERENCES visits (visit_id),
    FOREIGN KEY (form_id) REFERENCES forms (form_id)
);

CREATE TABLE lab_results (
    result_id INT PRIMARY KEY,
    visit_id INT NOT NULL,
    analyte VARCHAR(12) NOT NULL,
    value DECIMAL(10, 3) NULL,
    unit VARCHAR(12) NOT NULL,
    lower_limit DOUBLE NOT NULL,
    upper_limit DOUBLE NOT NULL,
    flag CHAR(1) NULL,
    sampled_at DATETIME NOT NULL,
    KEY (visit_id),
    KEY (analyte, value)
);

CREATE TABLE adverse_events (
    event_id INT PRIMARY KEY,
    subject_id INT NOT NULL,
    term VARCHAR(60) NOT NULL,
    severity TINYINT NOT NULL,
    serious BOOLEAN NOT NULL,
    onset_on DATE NOT NULL,
    resolved_on DATE NULL,
    narrative TEXT NULL,
    KEY (subject_id),
    FOREIGN KEY (subject_id) REFERENCES subjects (subject_id)
);

-- numbers.n counts 0 to 9,999; dropped again at the end.
CREATE TABLE numbers (n INT PRIMARY KEY);
INSERT INTO numbers
WITH digits AS (
    SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
    UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9
)
SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d
FROM digits a CROSS JOIN digits b CROSS JOIN digits c CROSS JOIN digits e;

INSERT INTO studies VALUES
    (1, 'CARD-301', 'Once-daily cardiolin in heart failure', 'III', '2022-03-01', NULL, '{"blinded": true, "arms": ["active", "placebo"]}'),
    (2, 'ONCO-204', 'Oncovax added to standard care', 'II', '2021-09-15', '2024-06-30', '{"blinded": false, "arms": ["low", "high"]}'),
    (3, 'DERM-117', 'Étude d’une crème apaisante', 'I', '2023-01-10', NULL, '{"blinded": true, "arms": ["active", "vehicle"]}'),
    (4, 'NEUR-402', '長期安全性試験 🧠', 'IV', '2020-05-20', NULL, '{"blinded": false, "arms": ["open label"]}');

INSERT INTO sites
SELECT n + 1, n DIV 10 + 1, LPAD(n MOD 10 + 1, 3, '0'),
    CONCAT(ELT(CRC32(n) MOD 5 + 1, 'University Hospital', 'Klinikum', 'Centre hospitalier', 'Clínica', '大学病院'), ' ', n + 1),
    ELT(CRC32(n + 7) MOD 6 + 1, 'DE', 'FR', 'US', 'ES', 'JP', 'GB'),
    IF(n MOD 9 = 4, NULL, CONCAT('Dr. ', ELT(CRC32(n + 3) MOD 5 + 1, 'Müller', 'O''Brien', 'Nakamura', 'García', 'Smith')))
FROM numbers WHERE n < 40;

INSERT INTO subjects
SELECT n + 1, n DIV 50 + 1, CONCAT('S', LPAD(n DIV 50 + 1, 3, '0'), '-', LPAD(n MOD 50 + 1, 4, '0')),
    IF(CRC32(n) MOD 2 = 0, 'F', 'M'), 1935 + CRC32(n + 11) MOD 70,
    IF(n MOD 13 = 5, NULL, IF(CRC32(n + 5) MOD 2 = 0, 'active', 'placebo')),
    ELT(CRC32(n + 2) MOD 10 + 1, 'enrolled', 'enrolled', 'enrolled', 'enrolled', 'enrolled', 'completed', 'completed', 'completed', 'withdrawn', 'screen failure'),
    IF(n MOD 4 = 3, NULL, UNHEX(CONCAT('89504E470D0A1A0A', LPAD(HEX(n), 8, '0'), REPEAT('00FF27', n MOD 64 + 1))))
FROM numbers WHERE n < 2000;

INSERT INTO visits
SELECT s.subject_id * 6 + v.n - 5, s.subject_id, v.n + 1,
    ELT(v.n + 1, 'screening', 'baseline', 'week 4', 'week 12', 'week 24', 'follow-up'),
    DATE_ADD('2023-01-02', INTERVAL s.subject_id MOD 300 + ELT(v.n + 1, 0, 14, 42, 98, 182, 210) DAY),
    IF(CRC32(s.subject_id * 6 + v.n) MOD 11 = 0, NULL,
        DATE_ADD(DATE_ADD('2023-01-02 08:00:00.000', INTERVAL s.subject_id MOD 300 + ELT(v.n + 1, 0, 14, 42, 98, 182, 210) DAY),
            INTERVAL CRC32(s.subject_id + v.n) MOD 28800000 * 1000 MICROSECOND))
FROM subjects s JOIN numbers v ON v.n < 6;

INSERT INTO forms VALUES
    (1, 'DM', 'Demography', '{"columns": 2}'), (2, 'VS', 'Vital signs', '{"columns": 3, "repeat": true}'),
    (3, 'MH', 'Medical history', NULL), (4, 'CM', 'Concomitant medication', '{"columns": 4}'),
    (5, 'EX', 'Exposure', NULL);

INSERT INTO items
SELECT v.visit_id * 5 + f.form_id - 5, v.visit_id, f.form_id, CONCAT(f.code, '.', v.visit_no),
    CASE CRC32(v.visit_id * 7 + f.form_id) MOD 8
        WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'not done' WHEN 3 THEN '✓ reviewed 👍'
        ELSE CONCAT(CRC32(v.visit_id + f.form_id) MOD 200, '.', v.visit_no) END,
    CONCAT('crc', CRC32(v.visit_id) MOD 25 + 1)
FROM visits v CROSS JOIN forms f;

CREATE TABLE analytes (
    n INT PRIMARY KEY, analyte VARCHAR(12), unit VARCHAR(12), lower_limit DOUBLE, upper_limit DOUBLE
);
INSERT INTO analytes VALUES
    (0, 'HGB', 'g/dL', 12, 17.5), (1, 'WBC', '10^9/L', 4, 11), (2, 'PLT', '10^9/L', 150, 400),
    (3, 'ALT', 'U/L', 7, 55), (4, 'AST', 'U/L', 8, 48), (5, 'CREA', 'µmol/L', 60, 110),
    (6, 'GLUC', 'mmol/L', 3.9, 5.6), (7, 'NA', 'mmol/L', 135, 145), (8, 'K', 'mmol/L', 3.5, 5.1),
    (9, 'BILI', 'µmol/L', 3, 21), (10, 'CRP', 'mg/L', 0, 5), (11, 'TSH', 'mIU/L', 0.4, 4);

INSERT INTO lab_results
SELECT r.result_id, r.visit_id, r.analyte, r.value, r.unit, r.lower_limit, r.upper_limit,
    CASE WHEN r.value < r.lower_limit THEN 'L' WHEN r.value > r.upper_limit THEN 'H' END, r.sampled_at
FROM (
    SELECT v.visit_id * 12 + a.n - 11 AS result_id, v.visit_id, a.analyte, a.unit, a.lower_limit, a.upper_limit,
        IF(CRC32(v.visit_id * 13 + a.n) MOD 29 = 0, NULL,
            CAST(a.lower_limit + (a.upper_limit - a.lower_limit) * (CRC32(v.visit_id * 12 + a.n) MOD 1200 / 1000 - 0.1) AS DECIMAL(10, 3))) AS value,
        DATE_ADD(CAST(v.planned_on AS DATETIME), INTERVAL 420 + CRC32(v.visit_id) MOD 300 MINUTE) AS sampled_at
    FROM visits v CROSS JOIN analytes a
) r;
DROP TABLE analytes;

INSERT INTO adverse_events
SELECT n + 1, CRC32(n) MOD 2000 + 1,
    ELT(CRC32(n + 1) MOD 8 + 1, 'Headache', 'Nausea', 'Fatigue', 'Dizziness', 'Rash', 'Pyrexia', 'Back pain', 'Insomnia'),
    CRC32(n + 2) MOD 5 + 1, CRC32(n + 2) MOD 5 >= 3,
    DATE_ADD('2023-02-01', INTERVAL CRC32(n + 3) MOD 400 DAY),
    IF(CRC32(n + 4) MOD 5 = 0, NULL, DATE_ADD('2023-02-01', INTERVAL CRC32(n + 3) MOD 400 + CRC32(n + 4) MOD 30 DAY)),
    CASE n MOD 7 WHEN 0 THEN NULL
        WHEN 1 THEN CONCAT('Patient said: "I''m fine" 😀\nSecond line\twith a tab and a \\ backslash, case ', n)
        WHEN 2 THEN CONCAT('Fièvre élevée 🌡️, traitée; 発熱 #', n)
        ELSE REPEAT(CONCAT('Observed at visit ', n MOD 6 + 1, '. '), n MOD 12 + 1) END
FROM numbers WHERE n < 4000;
DROP TABLE numbers;

CREATE SQL SECURITY INVOKER VIEW enrolment AS
SELECT st.protocol_no, si.site_no, si.country, COUNT(su.subject_id) AS subjects,
    SUM(su.status = 'withdrawn') AS withdrawn
FROM studies st JOIN sites si USING (study_id) LEFT JOIN subjects su USING (site_id)
GROUP BY st.protocol_no, si.site_no, si.country;

CREATE SQL SECURITY INVOKER VIEW abnormal_labs AS
SELECT su.screening_no, v.visit_name, l.analyte, l.value, l.unit, l.flag
FROM lab_results l JOIN visits v USING (visit_id) JOIN subjects su USING (subject_id)
WHERE l.flag IS NOT NULL;
