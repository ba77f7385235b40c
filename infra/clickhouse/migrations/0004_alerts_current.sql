-- Alerts with what people did about them. A silence names one alert, or labels in `matchers`, a JSON object such as
-- {"location": "boiler room", "severity": "warning"} of which every pair must fit; the last word of a silence counts.

CREATE OR REPLACE VIEW active_silences AS
SELECT alert_id, matchers, last.2 AS until, last.3 AS actor, last.4 AS comment
FROM
(
    SELECT alert_id, matchers, argMax((action, until, actor, comment), (at, action_id)) AS last
    FROM alert_actions FINAL
    WHERE action IN ('silence', 'unsilence')
    GROUP BY alert_id, matchers
)
WHERE last.1 = 'silence' AND (last.2 IS NULL OR last.2 > now64(3));

CREATE OR REPLACE VIEW alerts_current AS
WITH
    (SELECT groupArray(matchers) FROM active_silences WHERE alert_id = '') AS silenced_labels,
    map(
        'sensor_id', toString(sensor_id), 'sensor_type', toString(sensor_type), 'location', toString(location),
        'asset_id', toString(asset_id), 'rule', toString(rule), 'severity', toString(severity)
    ) AS labels
SELECT
    alerts.* EXCEPT (stored_at),
    toBool(acks.acknowledged_at IS NOT NULL) AS acknowledged,
    acks.acknowledged_at AS acknowledged_at,
    acks.acknowledged_by AS acknowledged_by,
    acks.acknowledged_comment AS acknowledged_comment,
    toBool(
        alert_id IN (SELECT alert_id FROM active_silences WHERE alert_id != '')
        OR arrayExists(
            matchers -> notEmpty(JSONExtractKeys(matchers))
                AND arrayAll(pair -> labels[pair.1] = pair.2, JSONExtractKeysAndValues(matchers, 'String')),
            silenced_labels
        )
    ) AS silenced
FROM alerts FINAL
LEFT JOIN
(
    SELECT
        alert_id,
        toNullable(max(at)) AS acknowledged_at,
        argMax(actor, at) AS acknowledged_by,
        argMax(comment, at) AS acknowledged_comment
    FROM alert_actions FINAL
    WHERE action = 'ack'
    GROUP BY alert_id
) AS acks USING (alert_id);
