"""Drivers and BI tools against the Postgres wire: psycopg 3, psycopg 2, SQLAlchemy's inspector, and catalogue queries.

Arguments: host, port. The password is in PGPASSWORD. On standard input: a JSON list of the documented questions, each with its columns.
Prints what was looked at, a line each; a line "skipped: ..." for a library that is not there. Fails with the first thing that is wrong.
"""

import datetime
import decimal
import json
import sys

HOST, PORT = sys.argv[1:3]
DSN = f"host={HOST} port={PORT} user=freshet dbname=freshet"
QUESTIONS = json.load(sys.stdin)


def value(cursor, sql, *parameters):
    cursor.execute(sql, parameters)
    rows = cursor.fetchall()
    assert len(rows) == 1 and len(rows[0]) == 1, (sql, rows)
    return rows[0][0]


def questions(connection):
    for question in QUESTIONS:
        cursor = connection.cursor()
        cursor.execute(question["sql"])
        assert [column[0] for column in cursor.description] == question["columns"], question
        assert cursor.fetchall(), question


def parameters(connection):
    cursor = connection.cursor()
    cursor.execute("select user_id, count(*) as n from history.interactions group by user_id order by n desc, user_id limit 2")
    (user, most), (other, less) = cursor.fetchall()
    assert isinstance(user, decimal.Decimal) and most >= less > 0
    user, other = int(user), int(other)
    of_user = "select count(*) from history.interactions where user_id = %s"
    assert value(cursor, of_user, user) == most
    assert value(cursor, of_user, 3) == 0
    both = "select count(*) from history.interactions where user_id = any(%s)"
    assert value(cursor, both, [user, other]) == most + less
    assert value(cursor, "select count(*) from users where user_id = any(%s)", [user, other, 3]) == 2
    facets = "select name from user_facets where user_id = %s and kind = %s order by long desc limit %s"
    cursor.execute(facets, (user, "category", 2))
    assert 1 <= len(cursor.fetchall()) <= 2
    # A value is a value, whatever it holds.
    assert value(cursor, "select count(*) from videos where caption = %s", "x'; drop table users; --") == 0

    cursor.execute("select min(event_time), max(event_time), min(day), max(day) from history.interactions")
    first, last, first_day, last_day = cursor.fetchone()
    assert isinstance(first, datetime.datetime) and isinstance(first_day, datetime.date), (first, first_day)
    assert (first.date(), last.date()) == (first_day, last_day)
    everything = value(cursor, "select count(*) from history.interactions")
    within = "select count(*) from history.interactions where event_time >= %s and event_time < %s"
    assert value(cursor, within, first, last + datetime.timedelta(milliseconds=1)) == everything
    middle = datetime.datetime.combine(first_day + datetime.timedelta(days=2), datetime.time())
    days = "select count(*) from history.interactions where day >= %s"
    assert value(cursor, within, first, middle) + value(cursor, days, middle.date()) == everything
    cursor.execute("select hashtags, watch_ms, liked from history.uploads u join history.interactions i on i.video_id = u.video_id"
                   " where u.day >= %s limit 1", (first_day,))
    hashtags, watch_ms, liked = cursor.fetchone()
    assert isinstance(hashtags, list) and isinstance(liked, bool) and isinstance(watch_ms, (int, type(None)))
    assert value(cursor, "select count(*) from users u where u.interactions = "
                 "(select count(*) from history.current_interactions h where h.user_id = u.user_id)") > 10


def errors(module, connection):
    """A statement that is wrong or writes is an error, and the connection goes on."""
    connection.rollback()
    for wrong, code in [("select * from cats", None), ("delete from users", "25006"), ("create table t (a int)", "25006")]:
        try:
            connection.cursor().execute(wrong)
        except module.Error as error:
            found = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
            assert code is None or found == code, (wrong, found, error)
        else:
            raise AssertionError(f"{wrong}: was taken")
        connection.rollback()
    assert value(connection.cursor(), "select 1 + 1") == 2


def catalogue(connection):
    """What a BI tool asks before anybody asks anything."""
    cursor = connection.cursor()

    def rows(sql, *parameters):
        cursor.execute(sql, parameters)
        return cursor.fetchall()

    schemas = [row[0] for row in rows("select schema_name from information_schema.schemata")]
    assert {"public", "history"} <= set(schemas), schemas
    tables = rows("select table_schema, table_name, table_type from information_schema.tables"
                  " where table_schema not in ('pg_catalog', 'information_schema')")
    for wanted in [("public", "video_stats", "BASE TABLE"), ("history", "interactions", "BASE TABLE"), ("history", "retention", "VIEW")]:
        assert wanted in tables, (wanted, tables)
    columns = [row[0] for row in rows("select column_name from information_schema.columns where table_schema = %s and table_name = %s"
                                      " order by ordinal_position", "history", "daily_users")]
    assert columns == ["day", "users", "new_users", "interactions"], columns
    # As Metabase, Superset and DBeaver do.
    relations = rows("select n.nspname, c.relname, c.relkind, d.description from pg_catalog.pg_class c"
                     " left join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
                     " left join pg_catalog.pg_description d on d.objoid = c.oid and d.objsubid = 0"
                     " where n.nspname = 'history' and c.relkind in ('r', 'p', 'v', 'f', 'm')")
    named = {(schema, name) for schema, name, _ in tables if schema == "history"}
    assert {(schema, name) for schema, name, _, _ in relations} == named and len(relations) == len(named), (relations, named)
    assert {kind for _, _, kind, _ in relations} == {"r", "v"}, relations
    attributes = rows("select a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), pg_catalog.col_description(c.oid, a.attnum)"
                      " from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid"
                      " join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = 'history' and c.relname = 'interactions'"
                      " and a.attnum > 0 and not a.attisdropped order by a.attnum")
    types = {name: kind for name, kind, _ in attributes}
    assert (types["day"], types["event_time"], types["watch_ms"], types["liked"], types["user_id"]) == (
        "date", "timestamp without time zone", "bigint", "boolean", "numeric"), types
    assert all(about for _, _, about in attributes), attributes
    about = value(cursor, "select obj_description(c.oid, 'pg_class') from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                  " where n.nspname = 'public' and c.relname = 'video_stats'")
    assert "span of time" in about, about
    assert value(cursor, "select version()").startswith("PostgreSQL 16"), "drivers read a number there"
    assert value(cursor, "select current_database()") == "freshet"
    for nothing in ["select matviewname from pg_matviews", "select conname from pg_catalog.pg_constraint where contype = 'f'",
                    "select typname from pg_type t join pg_namespace n on n.oid = t.typnamespace where typname = 'hstore'"]:
        assert rows(nothing) == [], nothing
    visible = rows("select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                   " where pg_catalog.pg_table_is_visible(c.oid) and n.nspname = 'public'")
    assert ("users",) in visible, visible


def psycopg3():
    import psycopg

    with psycopg.connect(DSN) as connection:
        questions(connection)
        parameters(connection)
        catalogue(connection)
        errors(psycopg, connection)
    with psycopg.connect(DSN, autocommit=True) as connection:
        binary = connection.cursor(binary=True)
        binary.execute("select day, event_time, user_id, watch_ms, liked, country from history.interactions limit 3")
        for day, event_time, user_id, _, liked, _ in binary.fetchall():
            assert event_time.date() == day and user_id == int(user_id) and isinstance(liked, bool)
        plain = psycopg.ClientCursor(connection)
        plain.execute("select count(*) from users where user_id > %s", (0,))
        assert plain.fetchone()[0] > 10


def psycopg2():
    import psycopg2

    connection = psycopg2.connect(DSN)
    questions(connection)
    parameters(connection)
    catalogue(connection)
    errors(psycopg2, connection)
    everything = value(connection.cursor(), "select count(*) from history.interactions")
    cursor = connection.cursor(name="many")
    cursor.itersize = 100
    cursor.execute("select user_id from history.interactions")
    assert sum(1 for _ in cursor) == everything
    connection.close()


def sqlalchemy():
    import os

    import sqlalchemy

    url = sqlalchemy.engine.URL.create("postgresql+psycopg2", "freshet", os.environ["PGPASSWORD"], HOST, int(PORT), "freshet")
    engine = sqlalchemy.create_engine(url)
    inspector = sqlalchemy.inspect(engine)
    assert {"history", "public"} <= set(inspector.get_schema_names())
    assert "video_stats" in inspector.get_table_names()
    assert set(inspector.get_table_names("history")) == {
        "interactions", "uploads", "users", "follows", "deletes", "served", "epochs", "coverage"}
    assert "retention" in inspector.get_view_names("history")
    columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("daily_users", "history")}
    assert columns == {"day": "DATE", "users": "BIGINT", "new_users": "BIGINT", "interactions": "BIGINT"}, columns
    assert len(inspector.get_columns("interactions", "history")) == 25
    assert inspector.has_table("users", "history") and inspector.get_foreign_keys("users", "history") == []
    with engine.connect() as connection:
        found = connection.execute(sqlalchemy.text("select count(*) from users where interactions > :n"), {"n": 0}).scalar()
        assert found > 10


for library in (psycopg3, psycopg2, sqlalchemy):
    try:
        library()
    except ModuleNotFoundError as error:
        print(f"skipped: {library.__name__}: {error}")
    else:
        print(f"ok: {library.__name__}")
