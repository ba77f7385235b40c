-- What people and dashboards read: each row once, in its newest state.

CREATE OR REPLACE VIEW readings_final AS
SELECT * EXCEPT (stored_at)
FROM readings FINAL;

CREATE OR REPLACE VIEW windows_final AS
SELECT * EXCEPT (stored_at)
FROM windows FINAL;

CREATE OR REPLACE VIEW alerts_final AS
SELECT * EXCEPT (stored_at)
FROM alerts FINAL;

CREATE OR REPLACE VIEW alert_actions_final AS
SELECT * EXCEPT (stored_at)
FROM alert_actions FINAL;

CREATE OR REPLACE VIEW dead_letters_final AS
SELECT * EXCEPT (stored_at)
FROM dead_letters FINAL;

CREATE OR REPLACE VIEW data_quality_final AS
SELECT * EXCEPT (stored_at)
FROM data_quality FINAL;

CREATE OR REPLACE VIEW events_final AS
SELECT * EXCEPT (stored_at)
FROM events FINAL;

CREATE OR REPLACE VIEW sensors_final AS
SELECT * EXCEPT (stored_at)
FROM sensors FINAL;

CREATE OR REPLACE VIEW ledger_final AS
SELECT * EXCEPT (stored_at)
FROM ledger FINAL;
