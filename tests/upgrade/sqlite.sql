PRAGMA user_version = 10;
BEGIN TRANSACTION;
CREATE TABLE account_numbers (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO "account_numbers" VALUES(1,5);
CREATE TABLE accounts (
    user_id          TEXT    NOT NULL PRIMARY KEY,
    version          INTEGER NOT NULL,
    number           INTEGER NOT NULL,
    username         TEXT,
    email            TEXT,
    name             TEXT,
    phone            TEXT,
    role             TEXT    NOT NULL,
    credential_id    TEXT    NOT NULL,
    session_epoch    INTEGER NOT NULL,
    reset_id         TEXT,
    reset_expires_at INTEGER,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL
, email_verified INTEGER NOT NULL DEFAULT 0, locked INTEGER NOT NULL DEFAULT 0, kept_session TEXT, verification_id TEXT, verification_email TEXT, verification_expires_at INTEGER, recent_requests TEXT) STRICT, WITHOUT ROWID;
INSERT INTO "accounts" VALUES('01a22109-290e-7284-ab65-018606bced9c',1,1,'ann','ann@example.com',NULL,NULL,'user','8dcce402-3251-426b-8ae8-c6fcd822d641',0,NULL,NULL,1795850578190,1795850578190,0,0,NULL,NULL,NULL,NULL,'{"version":1}');
INSERT INTO "accounts" VALUES('01a22109-2918-7a32-b84d-568eb51ad579',2,2,'bob','bob@example.com',NULL,NULL,'user','19ddc798-f883-4867-9753-015e21296f05',1,NULL,NULL,1795850578200,1795850578315,0,1,NULL,NULL,NULL,NULL,'{"version":2}');
INSERT INTO "accounts" VALUES('01a22109-2963-73cd-aed7-2f573d7469ab',1,3,'root',NULL,NULL,NULL,'admin','aff81890-3b96-4812-9af7-dc8e7e276b24',0,NULL,NULL,1795850578275,1795850578275,0,0,NULL,NULL,NULL,NULL,'{"version":1}');
INSERT INTO "accounts" VALUES('01a22109-29fc-7730-af0a-6aabf5c08c94',1,4,'bcrypt-b','bcrypt-b@example.com',NULL,NULL,'auditor','9786d0f7-4c9f-4d9c-8e02-b1ff3dd972fd',0,NULL,NULL,1795850578428,1795850578428,0,0,NULL,NULL,NULL,NULL,'{"version":1}');
INSERT INTO "accounts" VALUES('01a22109-29fc-7a35-b552-874d4de1ce50',1,5,'scrypt','scrypt@example.com',NULL,NULL,'user','07069b00-070a-4cb4-80b1-a44f9c6d770f',0,NULL,NULL,1795850578428,1795850578428,0,0,NULL,NULL,NULL,NULL,'{"version":1}');
CREATE TABLE checkpoints (
    tree_size  INTEGER PRIMARY KEY CHECK (tree_size > 0),
    note       TEXT    NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (CAST(round(unixepoch('subsec') * 1000) AS INTEGER))
) STRICT;
INSERT INTO "checkpoints" VALUES(11,'authlog.invalid/c2c652c8-cdf8-4fcf-8af3-745f06c4fc1f
11
L+AJiu0fGaswLkn2FGaxic64yUunTPes6p0bepZnqF8=

— authlog.invalid/c2c652c8-cdf8-4fcf-8af3-745f06c4fc1f QJs9NkgSf5DdqqeUkjL7zYSd+KMTfM7d3tleF5kq0JvcxBQhvM7StmrYI59nR+2GaGqM7IW442VWzs6zS9BzDNP4CQ0=
',1795850579139);
CREATE TABLE credentials (
    user_id       TEXT NOT NULL PRIMARY KEY,
    credential_id TEXT NOT NULL,
    password_hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "credentials" VALUES('01a22109-290e-7284-ab65-018606bced9c','8dcce402-3251-426b-8ae8-c6fcd822d641','$argon2id$v=19$m=1024,t=1,p=1$qoz9i6f+RDpkzfqVNlaE8Q$YOBz7v1Z9q+Q9t6zP8xU5zVBDzgGvGLj/cZjNZiv4Eo');
INSERT INTO "credentials" VALUES('01a22109-2918-7a32-b84d-568eb51ad579','19ddc798-f883-4867-9753-015e21296f05','$argon2id$v=19$m=1024,t=1,p=1$/1wYOBi1XuOl6z6jwtsWnw$P7KdlmSUB+9YiqxgQVQ3qBP1SYEs/mRWQXziFlMw21E');
INSERT INTO "credentials" VALUES('01a22109-2963-73cd-aed7-2f573d7469ab','aff81890-3b96-4812-9af7-dc8e7e276b24','$argon2id$v=19$m=1024,t=1,p=1$m9Vc/fg857a39vt+/PN4og$Y78GOdxABePmOaME1oLCW6eLsUMdE8AuEMRF8wUv1aM');
INSERT INTO "credentials" VALUES('01a22109-29fc-7730-af0a-6aabf5c08c94','9786d0f7-4c9f-4d9c-8e02-b1ff3dd972fd','$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK');
INSERT INTO "credentials" VALUES('01a22109-29fc-7a35-b552-874d4de1ce50','07069b00-070a-4cb4-80b1-a44f9c6d770f','$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI');
CREATE TABLE event_log (
    log_index      INTEGER PRIMARY KEY,
    aggregate_type TEXT    NOT NULL,
    aggregate_id   TEXT    NOT NULL,
    sequence       INTEGER NOT NULL,
    leaf_hash      BLOB    NOT NULL CHECK (length(leaf_hash) = 32),
    UNIQUE (aggregate_type, aggregate_id, sequence)
) STRICT;
INSERT INTO "event_log" VALUES(1,'user','01a22109-290e-7284-ab65-018606bced9c',1,X'B2A824DAA3327715F27A7837B4C6E4868A4022D6110F9E6FE6B87B7296861B88');
INSERT INTO "event_log" VALUES(2,'session','01a22109-290e-7035-83ce-9e11adf5608c',1,X'6BF25E07CB482B92E7BD2F77D01689AD3D6130BE33E8DEA2D54DB9C3EA18403E');
INSERT INTO "event_log" VALUES(3,'user','01a22109-2918-7a32-b84d-568eb51ad579',1,X'AFA59DDFD254B40CF06F38639E57A5EB59F04565A5955B65ADBBBDAF90E4C1DD');
INSERT INTO "event_log" VALUES(4,'session','01a22109-2918-7ca4-a114-f0430cb77aa7',1,X'89896534785716EA28E5AE7C9E3C4006E468AF0C60A88575DB43783DD865627F');
INSERT INTO "event_log" VALUES(5,'session','01a22109-2924-7a5b-8ff0-46dbc67f54fb',1,X'9C20E348DBC71783F553583338BC8F5F0929B006E89BB41E5C52087030792A3B');
INSERT INTO "event_log" VALUES(6,'refused-logins','01a22109-290e-7284-ab65-018606bced9c.2026-11-28',1,X'297E4672853434856BB8BAB5DC965D47C912A1813400203355A368F6A98199DB');
INSERT INTO "event_log" VALUES(7,'session','01a22109-2936-771b-a1e4-d1295ffadb68',1,X'F5E132C7848C9629AFB5B804AA2A8B6B3F6A1DA230D70BD7F9D293D315E3E192');
INSERT INTO "event_log" VALUES(8,'user','01a22109-2963-73cd-aed7-2f573d7469ab',1,X'F8FED2DE70BD04E83B0DCF15FEDA60461159F3A2FB6FBC6E94D31506B37F0CB0');
INSERT INTO "event_log" VALUES(9,'user','01a22109-2918-7a32-b84d-568eb51ad579',2,X'B0955D32926654E129F27C37C40A9433F1D678FFFBB19CF3FC77CC29974AA958');
INSERT INTO "event_log" VALUES(10,'user','01a22109-29fc-7730-af0a-6aabf5c08c94',1,X'09B5C6752C321731022ED09197FCDFA42D9F8C343C86991EB8E80C3D7444810F');
INSERT INTO "event_log" VALUES(11,'user','01a22109-29fc-7a35-b552-874d4de1ce50',1,X'E858E421BE5032AF6C6E8C524D8956411F464446BA1BFC227672E094A43B3475');
CREATE TABLE events (
    position       INTEGER PRIMARY KEY,
    aggregate_type TEXT    NOT NULL,
    aggregate_id   TEXT    NOT NULL,
    sequence       INTEGER NOT NULL CHECK (sequence > 0),
    event_type     TEXT    NOT NULL,
    event_version  TEXT    NOT NULL,
    -- The texts as they were sealed: the leaf in event_log is a hash of these bytes.
    payload        TEXT    NOT NULL,
    metadata       TEXT    NOT NULL,
    -- SQLite's clock ticks in milliseconds and answers in a float; rounding comes before multiplying, so that no
    -- instant loses a microsecond.
    recorded_at    INTEGER NOT NULL DEFAULT (CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000),
    user_id        TEXT    GENERATED ALWAYS AS (metadata ->> 'user_id') STORED,
    UNIQUE (aggregate_type, aggregate_id, sequence)
) STRICT;
INSERT INTO "events" VALUES(1,'user','01a22109-290e-7284-ab65-018606bced9c',1,'UserRegistered','1','{"UserRegistered":{"at":"2026-11-28T07:22:58.190Z","credential":"8dcce402-3251-426b-8ae8-c6fcd822d641","email":{"sealed":"zUAHnV5XpZYnpDXrGpHYhWh0MM3KrgY3PhVEFnkNrQr/xS2yMQDsBHyjGNUm"},"name":null,"number":1,"phone":null,"role":"user","username":{"sealed":"HFcGilBfQzR+qWTu8Lqq21EtB49RTjpTe8GJFj5D4bUd"}}}','{"actor":"user:01a22109-290e-7284-ab65-018606bced9c","contract":"api-auth","ip":"sealed:FI1r+gtQQ/C53uTHqb++iq2QcKO7txJM7tliSWjeA3gCicUq6A","request_id":"04ab8d90-a6c5-4e2d-bd6c-5318757af68d","user_agent":"sealed:5K7wrB1vPncVCZgG1tCzQM7d4oC9RNYgKsIZHuU6kTLiDNbAO3bJ","user_id":"01a22109-290e-7284-ab65-018606bced9c"}',1795850578191000);
INSERT INTO "events" VALUES(2,'session','01a22109-290e-7035-83ce-9e11adf5608c',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T07:22:58.190Z","epoch":0,"expires_at":"2026-12-01T07:22:58.190Z","rotation":"rotating","user":"01a22109-290e-7284-ab65-018606bced9c"}}','{"actor":"user:01a22109-290e-7284-ab65-018606bced9c","contract":"api-auth","ip":"sealed:qlzpte8QTN7tDcLVVkC1Lt+n4PMM3LVbhHYQZYB5srZZQ7OIsA","request_id":"04ab8d90-a6c5-4e2d-bd6c-5318757af68d","user_agent":"sealed:YSvzmDyqU/XO196UkabAehL8dC3BaGYrEOAHK2TqSAlPnbnMldQk","user_id":"01a22109-290e-7284-ab65-018606bced9c"}',1795850578191000);
INSERT INTO "events" VALUES(3,'user','01a22109-2918-7a32-b84d-568eb51ad579',1,'UserRegistered','1','{"UserRegistered":{"at":"2026-11-28T07:22:58.200Z","credential":"19ddc798-f883-4867-9753-015e21296f05","email":{"sealed":"kNS9IxdyJmfArXUp3G1p/rVcdmsheMW1whu3hca7Lm9YSSZcsbba+3QFi3Qs"},"name":null,"number":2,"phone":null,"role":"user","username":{"sealed":"h6D26FZwb14VApEBbEmSRvIBxjm/c9aVmpEOThJPf/ey"}}}','{"actor":"user:01a22109-2918-7a32-b84d-568eb51ad579","contract":"api-auth","ip":"sealed:6fke6RDwJnr4ObT7+eSMjNyX5WxeMdQ9rOZxmx2t0wfhbZrY5w","request_id":"26bb6319-f13c-436a-adc1-b3effe076286","user_agent":"sealed:fkvjSv8k6CaRwa2p/Ixdox+wZZ9rEdF+wWZHr1h7L6D7cZBem+gg","user_id":"01a22109-2918-7a32-b84d-568eb51ad579"}',1795850578201000);
INSERT INTO "events" VALUES(4,'session','01a22109-2918-7ca4-a114-f0430cb77aa7',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T07:22:58.200Z","epoch":0,"expires_at":"2026-12-01T07:22:58.200Z","rotation":"rotating","user":"01a22109-2918-7a32-b84d-568eb51ad579"}}','{"actor":"user:01a22109-2918-7a32-b84d-568eb51ad579","contract":"api-auth","ip":"sealed:XLWlxrddj4ou4m0eT9IloyzcX7UXZSR9m+wERKbxQ+0deZo4TA","request_id":"26bb6319-f13c-436a-adc1-b3effe076286","user_agent":"sealed:cv6Zwm2g1xkiKIGr3VFqieQ4ij716q+m+bpgXnZOy/THnmD3Oib5","user_id":"01a22109-2918-7a32-b84d-568eb51ad579"}',1795850578201000);
INSERT INTO "events" VALUES(5,'session','01a22109-2924-7a5b-8ff0-46dbc67f54fb',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T07:22:58.212Z","epoch":0,"expires_at":"2026-11-29T07:22:58.212Z","rotation":null,"user":"01a22109-290e-7284-ab65-018606bced9c"}}','{"actor":"user:01a22109-290e-7284-ab65-018606bced9c","contract":"api","ip":"sealed:lguWWJElG7665fMhrPfwfWOspylDcrvmx08zSED4ILueuXEKBQ","request_id":"a1a4ea68-6599-4e62-aac0-76d8679d1314","user_agent":"sealed:mw6E7Yif7l/BbV3lsD5q12pGaZJEQ/0PjuNlR0W2lQgvxxSTNbdX","user_id":"01a22109-290e-7284-ab65-018606bced9c"}',1795850578213000);
INSERT INTO "events" VALUES(6,'refused-logins','01a22109-290e-7284-ab65-018606bced9c.2026-11-28',1,'LoginRefused','1','{"LoginRefused":{"at":"2026-11-28T07:22:58.222Z","reason":"wrong-password"}}','{"actor":"user:01a22109-290e-7284-ab65-018606bced9c","contract":"users","ip":"sealed:0lyPaM65nssBqirh+eZAqh/QKnnILBL51DRXJjYevUAxNYdXpg","request_id":"060c9482-731f-409b-9ca3-f8836cd757be","user_agent":"sealed:3/IYXdXjGQWKyNIUufGUUif6rgssaSfQgAdPIgqZGksfW1d1gtZ6","user_id":"01a22109-290e-7284-ab65-018606bced9c"}',1795850578227000);
INSERT INTO "events" VALUES(7,'session','01a22109-2936-771b-a1e4-d1295ffadb68',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T07:22:58.230Z","epoch":0,"expires_at":"2026-12-05T07:22:58.230Z","rotation":"reusable","user":"01a22109-2918-7a32-b84d-568eb51ad579"}}','{"actor":"user:01a22109-2918-7a32-b84d-568eb51ad579","contract":"users","ip":"sealed:CP2DX4QXmZCDtdD7QPT+14y5mK5CLNCclwPdjXiEqdLF1EprAw","request_id":"4cfa14ac-e14b-440a-959b-c377bb5477ba","user_agent":"sealed:n7dp4t/r63UnGOzqv586FE8gfGS9pVcrmW42uhao8ipFyHAanLAL","user_id":"01a22109-2918-7a32-b84d-568eb51ad579"}',1795850578231000);
INSERT INTO "events" VALUES(8,'user','01a22109-2963-73cd-aed7-2f573d7469ab',1,'UserRegistered','1','{"UserRegistered":{"at":"2026-11-28T07:22:58.275Z","credential":"aff81890-3b96-4812-9af7-dc8e7e276b24","email":null,"name":null,"number":3,"phone":null,"role":"admin","username":{"sealed":"Jz6cQ4p3gk0d/Yo4i3jqZ88LZl179AbxgBBFHaxdAYV/Ig"}}}','{"actor":"operator","contract":"cli","request_id":"26411e02-8fd0-49b2-8180-f1d4428d8841","user_id":"01a22109-2963-73cd-aed7-2f573d7469ab"}',1795850578275000);
INSERT INTO "events" VALUES(9,'user','01a22109-2918-7a32-b84d-568eb51ad579',2,'UserLocked','1','{"UserLocked":{"at":"2026-11-28T07:22:58.315Z","session_epoch":1}}','{"actor":"operator","contract":"cli","request_id":"cfcea5cb-4e86-4547-bf5f-a9dd31c45a5a","user_id":"01a22109-2918-7a32-b84d-568eb51ad579"}',1795850578317000);
INSERT INTO "events" VALUES(10,'user','01a22109-29fc-7730-af0a-6aabf5c08c94',1,'UserRegistered','1','{"UserRegistered":{"at":"2026-11-28T07:22:58.428Z","credential":"9786d0f7-4c9f-4d9c-8e02-b1ff3dd972fd","email":{"sealed":"4pRdqpha3ufDo7/NEX0QI3h9LE/qLBs2uiMdKBPOr9zPQlHqJqm5mLutLnep3pxP1Yc"},"name":null,"number":4,"phone":null,"role":"auditor","username":{"sealed":"2AouRZAZLuz9JcmJihG73FdoJiZiskXuMF47ZpEAzh0XzA6c0oc"}}}','{"actor":"operator","contract":"cli","request_id":"51a0be43-9983-44ab-9563-3df8d3165b78","user_id":"01a22109-29fc-7730-af0a-6aabf5c08c94"}',1795850578429000);
INSERT INTO "events" VALUES(11,'user','01a22109-29fc-7a35-b552-874d4de1ce50',1,'UserRegistered','1','{"UserRegistered":{"at":"2026-11-28T07:22:58.428Z","credential":"07069b00-070a-4cb4-80b1-a44f9c6d770f","email":{"sealed":"ROTTklQXrDQ0LtUjNTiOpsqkGCIbKzePbUepaCPZCh1ZZCo28M7Y6FqwRi2V8XKt"},"name":null,"number":5,"phone":null,"role":"user","username":{"sealed":"z5iHMjRKwmeDUnr3VJdPnF+ykHnpqb9uEO5SVvO7ZyzKp2YN"}}}','{"actor":"operator","contract":"cli","request_id":"a3956d72-9b19-44b5-9d77-f78efd04c750","user_id":"01a22109-29fc-7a35-b552-874d4de1ce50"}',1795850578430000);
CREATE TABLE identifier_claims (
    kind   TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    owner  TEXT NOT NULL,
    PRIMARY KEY (kind, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO "identifier_claims" VALUES('email',X'09651A792C352A64EC2B13F20169E6C932FF756413F4F4519F9F931919031874','01a22109-2918-7a32-b84d-568eb51ad579');
INSERT INTO "identifier_claims" VALUES('email',X'241F54CB8A6D0FF07E9F315F783EF8CA81442B57592F57FE1BB022CAADACD825','01a22109-29fc-7a35-b552-874d4de1ce50');
INSERT INTO "identifier_claims" VALUES('email',X'42A4B2AFE0374C8F30543A071ED8BB9470DB880B7A848FB6AC8353FDEE9450B3','01a22109-290e-7284-ab65-018606bced9c');
INSERT INTO "identifier_claims" VALUES('email',X'F7DF542C32E33A6BB18B4872499DCE5C651ABA42531FD779CF386D77C8BABD33','01a22109-29fc-7730-af0a-6aabf5c08c94');
INSERT INTO "identifier_claims" VALUES('username',X'35D383B73A2F3CB94AAA40DB07A2366658A5A14416FF6B4DF0E785E3899BC0E3','01a22109-29fc-7730-af0a-6aabf5c08c94');
INSERT INTO "identifier_claims" VALUES('username',X'371BB56BCCCA0954C082FC8857DEED3C725BB3DF49ADAB1FAE7EB7B41FB83731','01a22109-290e-7284-ab65-018606bced9c');
INSERT INTO "identifier_claims" VALUES('username',X'9E76A2C5B9A88CD275F6A54B1434EEF90AC925B1F3132FA035A33112CCC17053','01a22109-29fc-7a35-b552-874d4de1ce50');
INSERT INTO "identifier_claims" VALUES('username',X'CFBAB1E5F0F2CFA556701A696FBA538E55186365177E4770F488D00ABC712A75','01a22109-2963-73cd-aed7-2f573d7469ab');
INSERT INTO "identifier_claims" VALUES('username',X'CFCFAE3A48626EB1187CB7557F26D1C427C2D28CCABCEBFBB04BAD22EA830A19','01a22109-2918-7a32-b84d-568eb51ad579');
CREATE TABLE log_nodes (
    level      INTEGER NOT NULL CHECK (level > 0 AND level % 8 = 0),
    node_index INTEGER NOT NULL CHECK (node_index >= 0),
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, node_index)
) STRICT, WITHOUT ROWID;
CREATE TABLE mail_budgets (
    -- Keyed digest.
    mailbox    BLOB    NOT NULL,
    kind       TEXT    NOT NULL,
    used_until INTEGER NOT NULL,
    PRIMARY KEY (mailbox, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE mail_queue (
    mail_id     TEXT    PRIMARY KEY NOT NULL,
    user_id     TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    -- Keyed digest of the mailbox to tell; empty for that of the address that the account has.
    mailbox     BLOB    NOT NULL DEFAULT x'',
    -- The address to tell, sealed under the account's key, where it is not the account's own.
    address     BLOB,
    happened    INTEGER NOT NULL,
    happened_at INTEGER NOT NULL,
    -- Whether the gate let it through. Should handing it over fail, it need not ask again.
    admitted    INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    due_at      INTEGER NOT NULL,
    UNIQUE (user_id, kind, mailbox)
) STRICT;
CREATE TABLE opaque_tokens (
    digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    session_id TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "opaque_tokens" VALUES(X'089B5CF3FDC7885E7BF7283F8D98DAE7592EE6404C95F5FE2B26BF00FE87699A','01a22109-2924-7a5b-8ff0-46dbc67f54fb',1795936978212);
CREATE TABLE reset_requests (
    reset_id     TEXT    NOT NULL PRIMARY KEY,
    identifier   TEXT    NOT NULL,
    requested_at INTEGER NOT NULL,
    context      TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    due_at       INTEGER NOT NULL
, admitted INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE sealing_key (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    fingerprint BLOB    NOT NULL
) STRICT;
INSERT INTO "sealing_key" VALUES(1,X'D16653EC30CDB6DA6EA80E998AFDB0EF');
CREATE TABLE sessions (
    session_id   TEXT    NOT NULL PRIMARY KEY,
    version      INTEGER NOT NULL,
    user_id      TEXT    NOT NULL,
    contract     TEXT,
    epoch        INTEGER NOT NULL,
    rotation     TEXT,
    generation   INTEGER NOT NULL,
    started_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    ended_at     INTEGER
, rotated_at INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
INSERT INTO "sessions" VALUES('01a22109-290e-7035-83ce-9e11adf5608c',1,'01a22109-290e-7284-ab65-018606bced9c','api-auth',0,'rotating',0,1795850578190,1795850578190,1796109778190,NULL,1795850578190);
INSERT INTO "sessions" VALUES('01a22109-2918-7ca4-a114-f0430cb77aa7',1,'01a22109-2918-7a32-b84d-568eb51ad579','api-auth',0,'rotating',0,1795850578200,1795850578200,1796109778200,NULL,1795850578200);
INSERT INTO "sessions" VALUES('01a22109-2924-7a5b-8ff0-46dbc67f54fb',1,'01a22109-290e-7284-ab65-018606bced9c','api',0,NULL,0,1795850578212,1795850578212,1795936978212,NULL,1795850578212);
INSERT INTO "sessions" VALUES('01a22109-2936-771b-a1e4-d1295ffadb68',1,'01a22109-2918-7a32-b84d-568eb51ad579','users',0,'reusable',0,1795850578230,1795850578230,1796455378230,NULL,1795850578230);
CREATE TABLE shared_secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "shared_secrets" VALUES('checkpoint-key',X'568E5D82DE7B3674FEBF765D7505D6ACC23705C2B5F2184C5270C815537BD983DD8345BA79428EAA0DEA91B7D1E3E754216A6A6EDC916486463013367885496AB51F8D785491190088851975BC80A93ED1FE3D8512E52D3E457998E3144A8A7F5F82629F0D66658493E2644CD1DD5947');
INSERT INTO "shared_secrets" VALUES('identifier-pepper',X'9988FFE01343093AAE8230FC31CACD0827FCEB72369A4D70FE0040F02ED947FCB4B48A58FDABE7FF00353E91382CDB7F9421AADB5E28BEA9B6F6D062');
INSERT INTO "shared_secrets" VALUES('reset-token-key',X'825E04926CEC7E7E03D0CA8FD6A1727C04A726B3FCAA0135B77B07D5D2FAF5BFAE9D81C434A448934BB2ACED63857D18D3C8AEECBBEDC7BF82A03D48');
CREATE TABLE signing_key_changes (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT INTO "signing_key_changes" VALUES(1,1);
CREATE TABLE signing_keys (
    -- The thumbprint of the public key (RFC 7638).
    kid         TEXT    NOT NULL PRIMARY KEY,
    algorithm   TEXT    NOT NULL,
    signs_from  INTEGER NOT NULL,
    -- Null for the newest.
    signs_until INTEGER CHECK (signs_until >= signs_from),
    -- When it was given up before its time.
    retired_at  INTEGER,
    -- PKCS#8 sealed under the master key; null once nothing is verified with it any more.
    sealed      BLOB,
    CHECK (retired_at IS NULL OR (signs_until IS NOT NULL AND sealed IS NULL))
) STRICT;
CREATE TABLE subject_keys (
    user_id TEXT NOT NULL PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "subject_keys" VALUES('01a22109-290e-7284-ab65-018606bced9c',X'946702EAE725F2DDA20B055987228ADEC32383ADD4C19BD9B1BCD66E08BA60CCAC18ED66E5ADDE2EB3AD176EC2A82EBC3CF3CE156676DC453EA63835');
INSERT INTO "subject_keys" VALUES('01a22109-2918-7a32-b84d-568eb51ad579',X'C77B25CA95CD954B90CF3A217FFE2472FF18D76A85059C29658D46892B8D602D3CF273D43A107610F383C8928599FF3F6DAA07C414DE2E6C28202A1A');
INSERT INTO "subject_keys" VALUES('01a22109-2963-73cd-aed7-2f573d7469ab',X'CE25D3F3A9B37EF78D30A6292005157320DF1008125E02C2B17E02AFB23718D351010BAE7FFDE82AD47829FE64CD43F32BF46D71B1991215931F4431');
INSERT INTO "subject_keys" VALUES('01a22109-29fc-7730-af0a-6aabf5c08c94',X'E7B30A04F09E2BEA0D1EDC01B445D8EF7A61122FE16F30AB0F1C87861419F397B21BAB88646A55076BBD8517DD666D13B5AC6737386AE124E78A1F8C');
INSERT INTO "subject_keys" VALUES('01a22109-29fc-7a35-b552-874d4de1ce50',X'F436246C8C497233216ABC362F99A7558246B71B121D848D28ED70EB33D4E49060D73AC63EAD97C7A4C362E06D70393BCBE735E2A6EC148077979320');
CREATE INDEX events_by_user ON events (user_id, position);
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'an event is never changed');
END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'an event is never deleted');
END;
CREATE INDEX accounts_by_number ON accounts (number);
CREATE INDEX reset_requests_due ON reset_requests (due_at);
CREATE TRIGGER log_entries_are_never_changed BEFORE UPDATE ON event_log
BEGIN
    SELECT RAISE(ABORT, 'an entry of the log is never changed');
END;
CREATE TRIGGER log_entries_are_never_deleted BEFORE DELETE ON event_log
BEGIN
    SELECT RAISE(ABORT, 'an entry of the log is never deleted');
END;
CREATE TRIGGER checkpoints_are_never_changed BEFORE UPDATE ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'a checkpoint is never changed');
END;
CREATE TRIGGER checkpoints_are_never_deleted BEFORE DELETE ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'a checkpoint is never deleted');
END;
CREATE INDEX events_erasing ON events (user_id) WHERE event_type = 'UserErased';
CREATE INDEX opaque_tokens_by_session ON opaque_tokens (session_id);
CREATE UNIQUE INDEX signing_keys_newest ON signing_keys ((signs_until IS NULL)) WHERE signs_until IS NULL;
CREATE INDEX accounts_administering ON accounts (user_id) WHERE role = 'admin' AND locked = 0;
CREATE INDEX events_revoking_by_position ON events (position)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased');
CREATE INDEX events_revoking_by_time ON events (recorded_at)
    WHERE event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased');
CREATE INDEX sessions_by_user ON sessions (user_id, epoch);
CREATE INDEX mail_queue_due ON mail_queue (due_at);
CREATE INDEX mail_budgets_used_until ON mail_budgets (used_until);
COMMIT;
