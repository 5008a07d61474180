WITH last_visit AS (
    SELECT v.subject_id, MAX(v.visit_date) AS visit_date, COUNT(*) AS visits
    FROM visits v
    JOIN forms f ON f.visit_id = v.visit_id AND f.status = 'complete'
    WHERE v.visit_date BETWEEN '2024-01-01' AND '2024-12-31'
    GROUP BY v.subject_id
), abnormal AS (
    SELECT l.subject_id, l.test_code,
           AVG(CAST(l.result_value AS DECIMAL(12, 4))) AS mean_value,
           SUM(CASE WHEN l.result_value > l.range_high THEN 1
                    WHEN l.result_value < l.range_low THEN 1 ELSE 0 END) AS out_of_range,
           ROW_NUMBER() OVER (PARTITION BY l.subject_id ORDER BY COUNT(*) DESC) AS rank_in_subject
    FROM lab_results l
    WHERE l.test_code IN ('ALT', 'AST', 'BILI', 'CREAT', 'HGB', 'PLAT', 'WBC')
      AND l.result_value IS NOT NULL
    GROUP BY l.subject_id, l.test_code
)
SELECT st.protocol_number AS `Protocol`, si.site_code AS `Site`,
       CONCAT(sb.initials, ' / ', LPAD(sb.subject_number, 4, '0')) AS `Subject`,
       TIMESTAMPDIFF(YEAR, sb.birth_date, lv.visit_date) AS `Age at visit`,
       DATE_FORMAT(lv.visit_date, '%Y-%m-%d') AS `Last visit`, lv.visits AS `Visits`,
       a.test_code AS `Test`, ROUND(a.mean_value, 2) AS `Mean`, a.out_of_range AS `Out of range`,
       IFNULL(ae.serious, 0) AS `Serious events`
FROM studies st
JOIN sites si ON si.study_id = st.study_id
JOIN subjects sb ON sb.site_id = si.site_id
JOIN last_visit lv ON lv.subject_id = sb.subject_id
LEFT JOIN abnormal a ON a.subject_id = sb.subject_id AND a.rank_in_subject <= 3
LEFT JOIN (SELECT subject_id, SUM(is_serious) AS serious FROM adverse_events
           WHERE onset_date >= DATE_SUB('2024-12-31', INTERVAL 1 YEAR) GROUP BY subject_id) ae
       ON ae.subject_id = sb.subject_id
WHERE st.protocol_number NOT LIKE 'TEST%' AND si.country_code IN ('DE', 'FR', 'ES', 'PL', 'US')
  AND st.phase IN ('II', 'III') AND sb.withdrawn = 0 /* only active subjects */
ORDER BY st.protocol_number, si.site_code, sb.subject_number
LIMIT 0, 1000
