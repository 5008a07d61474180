SELECT 1 AS one, 'text' AS t, NULL AS nothing, '' AS blank
SELECT study_id, protocol_no, title, phase, started_on, closed_on FROM studies ORDER BY study_id
SELECT * FROM sites ORDER BY site_id
SELECT event_id, term, severity, serious, onset_on, resolved_on, narrative FROM adverse_events ORDER BY event_id LIMIT 500
SELECT subject_id, HEX(consent_scan) FROM subjects ORDER BY subject_id LIMIT 50
SELECT result_id, analyte, value, lower_limit, flag, sampled_at FROM lab_results ORDER BY result_id LIMIT 20000
SELECT visit_id, held_at FROM visits ORDER BY visit_id LIMIT 100
SELECT '🧠 é 日本', 1.50, CAST('2024-02-29' AS DATE)
SELECT LENGTH(REPEAT('x', 20000000))
SHOW TABLES
SHOW FULL COLUMNS FROM visits
DESCRIBE forms
SHOW VARIABLES LIKE 'character_set_client'
SELECT table_name FROM information_schema.tables WHERE table_schema = 'clinical' ORDER BY 1
SELECT * FROM enrolment ORDER BY protocol_no, site_no
