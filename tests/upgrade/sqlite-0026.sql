PRAGMA user_version = 17;
BEGIN TRANSACTION;
CREATE TABLE account_numbers (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO "account_numbers" VALUES(1,6);
CREATE TABLE account_places (
    place  INTEGER PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    -- Whether the account is there.
    listed INTEGER NOT NULL
) STRICT;
INSERT INTO "account_places" VALUES(1,1,1);
INSERT INTO "account_places" VALUES(2,2,0);
INSERT INTO "account_places" VALUES(3,3,1);
INSERT INTO "account_places" VALUES(4,4,1);
INSERT INTO "account_places" VALUES(5,5,1);
INSERT INTO "account_places" VALUES(6,6,1);
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
, email_verified INTEGER NOT NULL DEFAULT 0, locked INTEGER NOT NULL DEFAULT 0, kept_session TEXT, verification_id TEXT, verification_email TEXT, verification_expires_at INTEGER, recent_requests TEXT, mac BLOB) STRICT, WITHOUT ROWID;
INSERT INTO "accounts" VALUES('01a22457-45ab-77b7-a5b6-cd71c14053e9',7,1,'ada','ada@example.com',NULL,NULL,'auditor','1c3d4459-5db0-40c9-a6c0-492a8315afac',3,NULL,NULL,1795906028971,1795906029612,1,0,NULL,NULL,NULL,NULL,'{"version":7,"verifications":["2026-11-28T22:47:09.168Z"],"resets":[["9f99173d-426a-417c-afa8-3fb216eba287","2026-11-28T22:47:09.500Z"]]}',X'9D36CF981E0F22B4A1AA4961DDE87F42');
INSERT INTO "accounts" VALUES('01a22457-4c26-7e84-814a-9ceac4b0463f',2,3,'ada-from-elsewhere','ada-from-elsewhere@example.com',NULL,NULL,'user','ebcff559-a771-4820-85c8-578838dd1928',0,NULL,NULL,1795906030630,1795906030630,0,0,NULL,NULL,NULL,NULL,'{"version":2}',X'8E1A7F820DE1CC060489130C33AE8A1B');
INSERT INTO "accounts" VALUES('01a22457-4dc6-7bf6-8328-e1d63d0eadbc',1,4,'ann','ann@example.com',NULL,NULL,'user','87e6874b-2bec-4ae8-9ca8-b7944cda0f64',0,NULL,NULL,1795906031046,1795906031046,0,0,NULL,NULL,NULL,NULL,'{"version":1}',X'11C60BAB47074119107B5661AF087075');
INSERT INTO "accounts" VALUES('01a22457-4e91-770c-b7b0-f5a8a4f6e93f',2,5,'bob','bob@example.com',NULL,NULL,'user','96a4d1fd-f271-4d49-acfb-6cda6522e932',1,NULL,NULL,1795906031249,1795906031710,0,1,NULL,NULL,NULL,NULL,'{"version":2}',X'7393D853CA0285EA932F6055E29B7A01');
INSERT INTO "accounts" VALUES('01a22457-4f48-7482-946b-70d824722114',1,6,'root','root@example.com',NULL,NULL,'admin','85eb015f-a509-4986-995a-27cb52ed207d',0,NULL,NULL,1795906031432,1795906031432,0,0,NULL,NULL,NULL,NULL,'{"version":1}',X'C4D862548B16744000A3F1433C8014AC');
CREATE TABLE checkpoints (
    tree_size  INTEGER PRIMARY KEY CHECK (tree_size > 0),
    note       TEXT    NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (CAST(round(unixepoch('subsec') * 1000) AS INTEGER))
) STRICT;
INSERT INTO "checkpoints" VALUES(32,'authlog.invalid/6800895f-4c82-469d-850d-e41dcd739da7
32
ZIcABdx/oBi2buNS8hUKeHNogxK2fd17M3Rpl6zKMQU=

— authlog.invalid/6800895f-4c82-469d-850d-e41dcd739da7 f1bvK1KLYTLYSc1TPBjnBix542/nC35wPQhkIC01Vrx6HFXCzg5LJwt+neSJtxo8m4VPeoaHAjXulrpobNZ12elDTQ4=
',1795906029978);
INSERT INTO "checkpoints" VALUES(39,'authlog.invalid/6800895f-4c82-469d-850d-e41dcd739da7
39
Y6AvCWbhDCNsxl1EAwOOcbPGAxv468dLjSPTr1VnURI=

— authlog.invalid/6800895f-4c82-469d-850d-e41dcd739da7 f1bvK2QCGoqbsinpNmDhZ1uur/R6LUTWX4gXLCdk4Zde5EUgpVx4tdZmnY7lYFCzL6pJtYtFIa1AV9ZIFRMCIuLHiQU=
',1795906030946);
INSERT INTO "checkpoints" VALUES(53,'authlog.invalid/6800895f-4c82-469d-850d-e41dcd739da7
53
3FlHy2OjMAD7m0tO67HlwFKshL0HMjXU6QqrTf3cmBc=

— authlog.invalid/6800895f-4c82-469d-850d-e41dcd739da7 f1bvK1DbGwt0eSyBHBJsbZejqMPuK+nHpPjHKEq+CvetWL8OXiTZj0go8hPZseGX1bzkxOfI3bOgs6GNfDt4TW/9ogM=
',1795906032059);
CREATE TABLE credentials (
    user_id       TEXT NOT NULL PRIMARY KEY,
    credential_id TEXT NOT NULL,
    password_hash TEXT NOT NULL
, sealed BLOB) STRICT, WITHOUT ROWID;
INSERT INTO "credentials" VALUES('01a22457-45ab-77b7-a5b6-cd71c14053e9','1c3d4459-5db0-40c9-a6c0-492a8315afac','',X'BA842666A96950ED2BCA9A8BBC2C4970FCB497B9537B5529A6C9BA7ADF45381A32763BF7CA0076DF54E7826C884877AF362D67CEB8469F1454D0B134F448E12C4340E497E086AD0014E5FA7BD7C1FE44087F591A5E2E290097515579AD614CB91CCAE48C2A25B37E24A04758FE7FCB11F32BD08D170FD4611A675742');
INSERT INTO "credentials" VALUES('01a22457-4c26-7e84-814a-9ceac4b0463f','ebcff559-a771-4820-85c8-578838dd1928','',X'A2033E71AE1DB56E7B37F86DA0C4A9E52D3B5F2EC3342D4A196D9994D8CB737A1FEC484E3A6DBE2CE2BA8EDA42CBA5D3227C91642EE1294D03F7B6142FE29A5421405B2D17461936ACB19303C1D95136C1C13696DBA419423737BF9988B53E33769DB580FF5C4688623672F22F294FC9CE946D203DFB10E9F95555AD');
INSERT INTO "credentials" VALUES('01a22457-4dc6-7bf6-8328-e1d63d0eadbc','87e6874b-2bec-4ae8-9ca8-b7944cda0f64','',X'53DF751EA0738CF44A0185F055F58B55937EF031F16CCA2D24B444EC5C9B8CE1D9DBFB6083CB6DF8AD59B635B6E4CB019F5B5E670C843C21BF6020EC4E5266CA36F6BF218C0C884C453A95E421F5B3E741BFBE88CF467F206628861FD97273A07392437D0D36D380188AE00D1006E6B6603C5E2D62F8A869D9DFD7DE');
INSERT INTO "credentials" VALUES('01a22457-4e91-770c-b7b0-f5a8a4f6e93f','96a4d1fd-f271-4d49-acfb-6cda6522e932','',X'066C8DDDB2BA5A089B80BE86E95C56FDC950BF4A96C5FEA27A3466A4988860F1F0B9DB8B57B022CB7A8A1F465A9470EA7FEB3AFECBF491A56297D80D1F0ED9AAFB5813D7BD5C02085F51CD7ADC8FDB00AD62DEE4B0EDC0053C1132A1BE57893A057C93DD504CB0112ADBC6F57B82C82A75E48A2006F32021C6AF03E2');
INSERT INTO "credentials" VALUES('01a22457-4f48-7482-946b-70d824722114','85eb015f-a509-4986-995a-27cb52ed207d','',X'4DC316E5E418644FC1216D9C87A3B0BA39633587FE31E0882BFFE6B53EB3AF847277221DD5CCC50B901CB4456B35CE41660B9B50164A526EF44727F619EA01AC73A99A34EBC199962CD1271B6EA91CDBA532130ACC35CCEEF841420FFF46B0EBA61BC4ED6117FE4898FD2D67B47433F5BD20FCDE5E53E93F14DBF639');
CREATE TABLE event_log (
    log_index      INTEGER PRIMARY KEY,
    aggregate_type TEXT    NOT NULL,
    aggregate_id   TEXT    NOT NULL,
    sequence       INTEGER NOT NULL,
    leaf_hash      BLOB    NOT NULL CHECK (length(leaf_hash) = 32),
    UNIQUE (aggregate_type, aggregate_id, sequence)
) STRICT;
INSERT INTO "event_log" VALUES(1,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',1,X'66CC028F0681585A024F17DD30D8C77C645F148C7485AC3EB75AAAD12E096E99');
INSERT INTO "event_log" VALUES(2,'session','01a22457-45ab-7ead-8794-bc0a111e69b3',1,X'DA6D5E772E836BD1859FE20C9952949C6390BB9AD210CCF7085456E5AEB12C73');
INSERT INTO "event_log" VALUES(3,'session','01a22457-45c7-7a10-a1c9-57376f4c40cc',1,X'DC088D0D87B5EA130F11DF1B48AA168538AA29EDEC0256BE31B2C896C5C6B6AA');
INSERT INTO "event_log" VALUES(4,'session','01a22457-45c7-7a10-a1c9-57376f4c40cc',2,X'63F0F8C03733C4AC6A49048CB0DF1F4C0BA2AC045BA45D6AEB283AFAF537FBFB');
INSERT INTO "event_log" VALUES(5,'session','01a22457-4624-7f85-b3d7-c93022c6612d',1,X'220441D512388FEE8E74882F35B61C917B46CF92560796895B2434F8D8380984');
INSERT INTO "event_log" VALUES(6,'session','01a22457-4624-7f85-b3d7-c93022c6612d',2,X'2912776D8C0F62FFBEA45D490BC40BF37C79D7FF053D27F80ACC3CFB7E47EB32');
INSERT INTO "event_log" VALUES(7,'session','01a22457-4657-72ea-84b2-ca791a4e3d32',1,X'A861CC6286883868071DA07415195FD5F2D4536BE7999C78532D85C79A0C332D');
INSERT INTO "event_log" VALUES(8,'session','01a22457-4657-72ea-84b2-ca791a4e3d32',2,X'D6638251DBB81E6BFCEE6805611EF21253C1F71BF71A12B33D66F370E6CF9F83');
INSERT INTO "event_log" VALUES(9,'session','01a22457-4662-7cd2-b5f6-a72f436ada30',1,X'1618924C5EA9CA277F3E2416A96C6404CD41F9E0C44C99E132595343DCA9F74A');
INSERT INTO "event_log" VALUES(10,'session','01a22457-4662-7cd2-b5f6-a72f436ada30',2,X'906868DB92D7A9314E5D73577A06460492F2CDC77238FCA3DC0BC07FB154C304');
INSERT INTO "event_log" VALUES(11,'refused-logins','01a22457-45ab-77b7-a5b6-cd71c14053e9.2026-11-28',1,X'E5138C51FDCAAB5F0FA03A68935E6E6911B6B72F715651FF7D0490494AF405FC');
INSERT INTO "event_log" VALUES(12,'session','01a22457-466d-7bcd-88f7-29ca1b1c1d71',1,X'8467CF9FACAD0AAC296B739E1E7250570D2222AEE1FF3D0E838D087F8E83D7DB');
INSERT INTO "event_log" VALUES(13,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',2,X'0EB762F1329D31AFB2A88D374045CAFF349F8D7DDF6CA190A78114FC1A616235');
INSERT INTO "event_log" VALUES(14,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',3,X'B219D7787A815F42CBBEF17B8501006863BEFCAD0C1BF8F6EBFF26B46FDEC711');
INSERT INTO "event_log" VALUES(15,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',4,X'7AFD3089077535949C90EF6092920960A4C12FFDF8F77E90236279CF70FFDC0C');
INSERT INTO "event_log" VALUES(16,'session','01a22457-466d-7bcd-88f7-29ca1b1c1d71',2,X'247E91DF9728FFB1051C4742A62168636279D280BDCC7BFE94828EDE151AB59F');
INSERT INTO "event_log" VALUES(17,'session','01a22457-466d-7bcd-88f7-29ca1b1c1d71',3,X'5F8FEFB74C1065E3C8F940338FFF374DE735D132C16A79275216676D47066D4E');
INSERT INTO "event_log" VALUES(18,'session','01a22457-466d-7bcd-88f7-29ca1b1c1d71',4,X'FADE277E283E168B0FB9ED439E9E4FE0C5725625F9FC69C01D5D40FDDEE1CDE3');
INSERT INTO "event_log" VALUES(19,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',5,X'EABA6BD857525456D5D598FFB146041F7F0CC890AFC45D7133603B1AEEC8C4C1');
INSERT INTO "event_log" VALUES(20,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',6,X'E0D730A9F575F5A02AA785B6B0C8290D0D55C3738DF62833FF6B214FB3A2F9D6');
INSERT INTO "event_log" VALUES(21,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',7,X'75D2841FFA015071DA735F6AAA2B59BEE213B58C53AA8BF48E6E31CBC3456081');
INSERT INTO "event_log" VALUES(22,'session','01a22457-4837-7d56-827c-635b1d3dcd89',1,X'E9A3AE84398CFE650D7DF38781EC978268ABF48B1E5F9F715283EF3E8AABE51E');
INSERT INTO "event_log" VALUES(23,'user','01a22457-483b-76ca-b87a-6965cb793629',1,X'11DAB43C012923E662678D6FDD19973112A4242D69F2952B018EB4B7C472FB55');
INSERT INTO "event_log" VALUES(24,'session','01a22457-483f-70bc-92f9-b18b4ac73190',1,X'BE84ACB29C61464B46CEF3837876FD181603D81394C39AD5BB2037E784893197');
INSERT INTO "event_log" VALUES(25,'user','01a22457-483b-76ca-b87a-6965cb793629',2,X'54F7F2209A064BC6F6A4BABFC442E17FE3F30B908C5122FC86723046DB225E89');
INSERT INTO "event_log" VALUES(26,'user','01a22457-483b-76ca-b87a-6965cb793629',3,X'CEA142641EBBE24F24579ACF7232541F50A6D93C733367C8CB0912E13704E42C');
INSERT INTO "event_log" VALUES(27,'user','01a22457-483b-76ca-b87a-6965cb793629',4,X'D94898B337E25D4D0CA141B13910E3D062D52AB9B49205EC8A7C71B39AA78DAA');
INSERT INTO "event_log" VALUES(28,'user','01a22457-483b-76ca-b87a-6965cb793629',5,X'11B347EA3F96CA5221195857FEFED76FA3823B217E5A891E43B79BC2C530CEA2');
INSERT INTO "event_log" VALUES(29,'session','01a22457-4881-7b2c-990e-5ebb4d6817bd',1,X'B6D4820289C43B8234924297E859967C0BA7529F4F41C2D159CF73D0D41DA45B');
INSERT INTO "event_log" VALUES(30,'session','01a22457-4881-7b2c-990e-5ebb4d6817bd',2,X'BEDE9C49C2E564735457007B80C03D1722CE46BED4A74E129417A88C8C638564');
INSERT INTO "event_log" VALUES(31,'session','01a22457-489d-77a1-bfc7-213f62de43d2',1,X'14B679546A664A450321F254387A6D83C918F515E896F3BA27423024484A40CF');
INSERT INTO "event_log" VALUES(32,'user','01a22457-483b-76ca-b87a-6965cb793629',6,X'A738BFFE2FC7CFD7ECDB77F9445E5DD45DE640F91696903D4EAC48A17D36E82F');
INSERT INTO "event_log" VALUES(33,'user','01a22457-483b-76ca-b87a-6965cb793629',7,X'A0F46ABDC3A5FD7F5D2D7E802E2607E00F39BA035CEE8D619A949E2E5C41DDD1');
INSERT INTO "event_log" VALUES(34,'user','01a22457-483b-76ca-b87a-6965cb793629',8,X'FCF50DCEBB6681404E3C6BDFC1CA806437821BF21AFFD618F6A03BE46B9F3BF7');
INSERT INTO "event_log" VALUES(35,'session','01a22457-4ab3-79a4-b2e0-3870c5f320d1',1,X'8520902ADBB56E134B9C895605B6710A0A7D9363853B4EB1DEF0CD188B05EED0');
INSERT INTO "event_log" VALUES(36,'user','01a22457-483b-76ca-b87a-6965cb793629',9,X'420B49B9E68A78F413606750C0AA83E6DC3246E76CA244DFEBE867D4EB0E672D');
INSERT INTO "event_log" VALUES(37,'user','01a22457-4c26-7e84-814a-9ceac4b0463f',1,X'CE816FA8B9A5D6812572FC339DB60E97C1309A7CF6E38C884787AB687C93DC39');
INSERT INTO "event_log" VALUES(38,'session','01a22457-4c5a-79ce-9a45-07740fe5e7ce',1,X'0CB3D1FBA672BB12D5996D48BDC38D947780D4A2A59BD61705A5112D14C95D90');
INSERT INTO "event_log" VALUES(39,'user','01a22457-4c26-7e84-814a-9ceac4b0463f',2,X'656AE654ADFF1BFBD6E4EF1D909F94AFAA53EBA2132601B04F0207DE45AC4652');
INSERT INTO "event_log" VALUES(40,'user','01a22457-4dc6-7bf6-8328-e1d63d0eadbc',1,X'67B59FF5921970B5BAA2B0D01FB43017E125E3E65E8C5A95ADD7A1C80497B303');
INSERT INTO "event_log" VALUES(41,'session','01a22457-4dc6-763d-9eb4-09c69a852a8b',1,X'4159949D6585F5CC548FDEC778D5BEAF04CDAC9B9533372C245B21B0C11FAB29');
INSERT INTO "event_log" VALUES(42,'session','01a22457-4e35-7d23-9fe6-839157be7566',1,X'9400EEB4596364DF0F52FCBDA47638AB30192838219E2A0AED82DB901F8EFEEE');
INSERT INTO "event_log" VALUES(43,'session','01a22457-4e4b-78b7-929e-451072ff3f23',1,X'9E3F0F86D4686279A707A3A7D7F4F0EA32ABD216859F2DD58F3CB592F537DEEE');
INSERT INTO "event_log" VALUES(44,'session','01a22457-4e87-76b5-9638-0fb30c35a63a',1,X'C11EC8B2421F90A402F71E871D78B18E1202B93C5EF95E8581FD07FC74303A63');
INSERT INTO "event_log" VALUES(45,'session','01a22457-4e8e-78ec-8520-d39c8525494b',1,X'845BE9032E13C45A7FBE480B5C872019DC10107D5A9C45CC4BF77B3825C29A03');
INSERT INTO "event_log" VALUES(46,'user','01a22457-4e91-770c-b7b0-f5a8a4f6e93f',1,X'86BBB33F6694141C209AFECC9332D4204C6F8BCF2ECD829A85A76F45A7C9045E');
INSERT INTO "event_log" VALUES(47,'session','01a22457-4e91-7e98-8469-2983ece77cda',1,X'D65C1451144D0AAF247BC736FA5DFB1D97185116E10F7F94F1C2D5E253B17309');
INSERT INTO "event_log" VALUES(48,'session','01a22457-4ec2-7d35-956d-39a40fff2720',1,X'50A34BDE40F3EFA19E727C304EEC196FB3ABC60E027306B66A491CA9B2DE768C');
INSERT INTO "event_log" VALUES(49,'session','01a22457-4ec6-7735-b7fb-8e1218dd32fa',1,X'4E6CA79A7EA63BF0C33A66BAB11B9FE996ACE06315794C0B7308355DD979D801');
INSERT INTO "event_log" VALUES(50,'session','01a22457-4eca-7968-b38e-eeeedb3ee5d4',1,X'6C70E51E2D298CAAA309B702815E5CE38986627E27C805C0DE120D8581A8C16F');
INSERT INTO "event_log" VALUES(51,'session','01a22457-4ecd-7621-9e30-2c3aeb092963',1,X'14C22A7D4E8ABF6D60BE060361D2F2FF3E26D001848494E64C7E2E28DD8787B9');
INSERT INTO "event_log" VALUES(52,'user','01a22457-4f48-7482-946b-70d824722114',1,X'37F9674ABB7209C51E12BF08B7B28A13710557BE5359D23F60E428B08559CFB7');
INSERT INTO "event_log" VALUES(53,'user','01a22457-4e91-770c-b7b0-f5a8a4f6e93f',2,X'24384B900CDE527043B59F593ECD3B0A58EC7C66AA28E3175E80DE612761F94A');
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
INSERT INTO "events" VALUES(1,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',1,'UserRegistered','1','{"UserRegistered":{"at":"2026-11-28T22:47:08.971Z","credential":"a6183e67-98cf-46ea-883e-781f5e2200fc","email":{"sealed":"hqaQvz2IIoD7J9OLOch6UdjPXUX+M9dJd8CXRu81aOecA2l91IAMoG0g8nMq"},"name":null,"number":1,"phone":null,"role":"user","username":{"sealed":"o9j50WqpbszxhubeXA6mGmM08DEpuWX/rIvyr4LaUXav"}}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:aKV+DT2OChZm4SDjtZYWfK4NK6SEbfyMI3oAAzLjiYbKH+wgbQ","request_id":"7c7093a8-76af-44d3-bbc5-161a1014ce1a","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906028972000);
INSERT INTO "events" VALUES(2,'session','01a22457-45ab-7ead-8794-bc0a111e69b3',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:08.971Z","epoch":0,"expires_at":"2026-12-01T22:47:08.971Z","rotation":"rotating","user":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:jbYVv7ZphNa4unA6lz2/1a2l3oQSIhTfpHuKpn1SDr8T8iMbBg","request_id":"7c7093a8-76af-44d3-bbc5-161a1014ce1a","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906028972000);
INSERT INTO "events" VALUES(3,'session','01a22457-45c7-7a10-a1c9-57376f4c40cc',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:08.999Z","epoch":0,"expires_at":"2026-12-01T22:47:08.999Z","rotation":"rotating","user":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:If01z+SG1NYFQwA4IHLDqIynrVlZst7BLDdbM+4HHsSF7DcH1g","request_id":"b331f49f-3e81-47de-94b3-16993c03c0c1","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906028999000);
INSERT INTO "events" VALUES(4,'session','01a22457-45c7-7a10-a1c9-57376f4c40cc',2,'LoggedOut','1','{"LoggedOut":{"at":"2026-11-28T22:47:09.056Z"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:waD/uh6F8qjGL9TmU/qkAdQ2zM4UJY9Ncp657XfDeIGeITglHA","request_id":"6d8eb810-eba5-48e7-b795-84a03789970d","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029056000);
INSERT INTO "events" VALUES(5,'session','01a22457-4624-7f85-b3d7-c93022c6612d',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:09.092Z","epoch":0,"expires_at":"2026-12-05T22:47:09.092Z","rotation":"reusable","user":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"users","ip":"sealed:6iJvoQBU7pFx3y2ee60Uf0jfA9PyK6LkkdyPJjFWoBa2piMw4A","request_id":"b5d34911-e172-4814-ab2f-7936fc31cb6c","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029092000);
INSERT INTO "events" VALUES(6,'session','01a22457-4624-7f85-b3d7-c93022c6612d',2,'LoggedOut','1','{"LoggedOut":{"at":"2026-11-28T22:47:09.121Z"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:Ib/bgDrCf+MnRpfGz5kISWJ7LSftGir4biNnp8Usl8bc5PI9pg","request_id":"7c61e270-7619-4656-a309-842e299feb43","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029121000);
INSERT INTO "events" VALUES(7,'session','01a22457-4657-72ea-84b2-ca791a4e3d32',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:09.143Z","epoch":0,"expires_at":"2026-11-29T22:47:09.143Z","rotation":null,"user":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api","ip":"sealed:2h7mYF55VrU/GsUS0YR8xMgVjrXQhfLBPqSmk4RmkmHtM06/vQ","request_id":"9c8d5b9b-3874-4a1e-ba62-38cd6af01faf","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029143000);
INSERT INTO "events" VALUES(8,'session','01a22457-4657-72ea-84b2-ca791a4e3d32',2,'LoggedOut','1','{"LoggedOut":{"at":"2026-11-28T22:47:09.151Z"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:acDs68iUnMLiEpRafmZRx8RwDa8HPxuGiHi/UmGgsRCQqepX6A","request_id":"7787a42d-5450-4ff4-8506-a741f764be33","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029151000);
INSERT INTO "events" VALUES(9,'session','01a22457-4662-7cd2-b5f6-a72f436ada30',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:09.154Z","epoch":0,"expires_at":"2026-11-29T22:47:09.154Z","rotation":null,"user":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"v1-auth","ip":"sealed:kNJC/qWoEquoFX+SrXDwe3pgwoIA3ZKiI8j+gwX/gaCRZkGgiw","request_id":"b5dec4e6-b2eb-4971-ad55-d5d8efb33a9d","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029154000);
INSERT INTO "events" VALUES(10,'session','01a22457-4662-7cd2-b5f6-a72f436ada30',2,'LoggedOut','1','{"LoggedOut":{"at":"2026-11-28T22:47:09.160Z"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:py+9HUbhaW27vDMSwGIVuxAIW1aPuI7+iUKDcQ86DVT+t5/yAA","request_id":"3a453588-d39d-489f-929a-05ce7147c5d5","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029161000);
INSERT INTO "events" VALUES(11,'refused-logins','01a22457-45ab-77b7-a5b6-cd71c14053e9.2026-11-28',1,'LoginRefused','1','{"LoginRefused":{"at":"2026-11-28T22:47:09.163Z","reason":"wrong-password"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:Q3j9oD0QbYwBJeFF4oNqAeTnlhN0ZauQ2CHmiJRBVL5duZ6CBQ","request_id":"3c7e315a-215b-442f-8c0c-420bbdfecced","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029163000);
INSERT INTO "events" VALUES(12,'session','01a22457-466d-7bcd-88f7-29ca1b1c1d71',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:09.165Z","epoch":0,"expires_at":"2026-12-01T22:47:09.165Z","rotation":"rotating","user":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:I2mWU5Oo/l6XQ/+I50NypY5mdQ4zoGMUUkkDDqIidzlNtTl+Lg","request_id":"5ba3757d-8c8a-49e3-98c6-2843e1d3bf18","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029166000);
INSERT INTO "events" VALUES(13,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',2,'EmailVerificationRequested','1','{"EmailVerificationRequested":{"at":"2026-11-28T22:47:09.168Z","email":null,"expires_at":"2026-11-29T22:47:09.168Z","verification":"251831a6-d99e-43a4-ac1d-b64002834386"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"authlog","ip":"sealed:YM84f+9wTVFyXt3kDvpF2XVCYgmnPNGVA/7aQHrAiV20VMZyhw","request_id":"cf13673b-cacd-4928-951a-f54d4a801364","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029168000);
INSERT INTO "events" VALUES(14,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',3,'EmailVerified','1','{"EmailVerified":{"at":"2026-11-28T22:47:09.489Z","verification":"251831a6-d99e-43a4-ac1d-b64002834386"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"authlog","ip":"sealed:5GUjloWe3oazy5UBI9WiBbgS3P6UbOVJsmq5ySRIJoYqbEk5Ug","request_id":"12dcdee0-06fd-4de8-b9bb-553363128a49","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029490000);
INSERT INTO "events" VALUES(15,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',4,'SessionsRevoked','1','{"SessionsRevoked":{"at":"2026-11-28T22:47:09.489Z","kept_session":"01a22457-466d-7bcd-88f7-29ca1b1c1d71","reason":"owner","session_epoch":1}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"authlog","ip":"sealed:g7b9FYawLAjwqIPV2DADgxvC7v/Ku8jH+3jiuSEJojwvyPGbIg","request_id":"12dcdee0-06fd-4de8-b9bb-553363128a49","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029490000);
INSERT INTO "events" VALUES(16,'session','01a22457-466d-7bcd-88f7-29ca1b1c1d71',2,'TokenRefreshed','1','{"TokenRefreshed":{"at":"2026-11-28T22:47:09.492Z","expires_at":"2026-12-01T22:47:09.492Z","generation":1}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:P2WgVEofG3kfzVQHyrFn0/LHDEVIdA7YjRj2X53Xl0vfYf3DWw","request_id":"b8910043-4545-4236-99d6-a3dfdb632484","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029492000);
INSERT INTO "events" VALUES(17,'session','01a22457-466d-7bcd-88f7-29ca1b1c1d71',3,'TokenRefreshed','1','{"TokenRefreshed":{"at":"2026-11-28T22:47:09.496Z","expires_at":"2026-12-01T22:47:09.496Z","generation":2}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:C3g8uZ3uyKK52jG7NhoDgboQbjk/uHMBVEoHlqhK1Fee+ENmhw","request_id":"d2ff059e-f20a-4d85-9fc2-060866083398","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029497000);
INSERT INTO "events" VALUES(18,'session','01a22457-466d-7bcd-88f7-29ca1b1c1d71',4,'RefreshTokenReused','1','{"RefreshTokenReused":{"at":"2026-11-28T22:47:09.498Z","generation":0}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:+XSzu8iyxIh6sXqnDq+An+DPdA/pR8VkGy0HkOoc6b4u5C+Qag","request_id":"85a527ea-23b4-434c-8808-b2b022bc73b1","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029498000);
INSERT INTO "events" VALUES(19,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',5,'PasswordResetRequested','1','{"PasswordResetRequested":{"at":"2026-11-28T22:47:09.500Z","expires_at":"2026-11-28T23:17:09.500Z","reset":"9f99173d-426a-417c-afa8-3fb216eba287"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"users","ip":"sealed:0AsFFj/5HArHdjZWADJP/9J1TASkTISs0N3SzMtEyUJe9cAhhA","request_id":"789d0ed0-bb95-4d2e-8c9e-e718eaf53da7","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029505000);
INSERT INTO "events" VALUES(20,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',6,'PasswordReset','1','{"PasswordReset":{"at":"2026-11-28T22:47:09.554Z","credential":"1c3d4459-5db0-40c9-a6c0-492a8315afac","reset":"9f99173d-426a-417c-afa8-3fb216eba287","session_epoch":2}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"users","ip":"sealed:+/N2V1JWnbI7bCrzvhhO77mBuhZkUmqcqA7JKhcOHXA1U4bd8Q","request_id":"2e276121-4ba0-42bc-ae66-dd516017b854","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029554000);
INSERT INTO "events" VALUES(21,'user','01a22457-45ab-77b7-a5b6-cd71c14053e9',7,'RoleChanged','2','{"RoleChanged":{"at":"2026-11-28T22:47:09.612Z","role":"auditor","session_epoch":3}}','{"actor":"operator","contract":"cli","request_id":"31385139-df1b-48c2-b5ee-b1589734425c","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029613000);
INSERT INTO "events" VALUES(22,'session','01a22457-4837-7d56-827c-635b1d3dcd89',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:09.623Z","epoch":3,"expires_at":"2026-12-01T22:47:09.623Z","rotation":"rotating","user":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}}','{"actor":"user:01a22457-45ab-77b7-a5b6-cd71c14053e9","contract":"api-auth","ip":"sealed:o1kbeqsP1WoHT15a3LGv7BrfDCoBsfV0dr82DNh5/dvj/vRs1Q","request_id":"89cd0c3a-4a65-43cf-8498-ca6e7b8fd311","user_id":"01a22457-45ab-77b7-a5b6-cd71c14053e9"}',1795906029623000);
INSERT INTO "events" VALUES(23,'user','01a22457-483b-76ca-b87a-6965cb793629',1,'UserRegistered','1','{"UserRegistered":{"at":"2026-11-28T22:47:09.627Z","credential":"e58b2c0c-9eb7-4b95-a16d-9fb7b8bfc3d0","email":{"sealed":"XgaSWW0lXjG3sTP2E8s9B8FyGuVnk/UvtY5bZ+ITQ0tdG5KCx/cVkryr1osf8/0+XoCPz4P16w"},"name":null,"number":2,"phone":null,"role":"user","username":null}}','{"actor":"user:01a22457-483b-76ca-b87a-6965cb793629","contract":"users","ip":"sealed:Q926TlRXzzzqmkLd69MMzlnePCovnHkWxCzKfzCwKn6sHrPKMQ","request_id":"ee833501-e9c2-4b83-a367-6f6238bfd5d0","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906029628000);
INSERT INTO "events" VALUES(24,'session','01a22457-483f-70bc-92f9-b18b4ac73190',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:09.631Z","epoch":0,"expires_at":"2026-12-05T22:47:09.631Z","rotation":"reusable","user":"01a22457-483b-76ca-b87a-6965cb793629"}}','{"actor":"user:01a22457-483b-76ca-b87a-6965cb793629","contract":"users","ip":"sealed:lZk8E/l0o6sfh4UnLNiv1ZOsJddVqM2IZFZNgvPsEZh/LSalCw","request_id":"3d42a5ad-8bad-483f-893d-1f25773990c8","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906029631000);
INSERT INTO "events" VALUES(25,'user','01a22457-483b-76ca-b87a-6965cb793629',2,'EmailVerificationRequested','1','{"EmailVerificationRequested":{"at":"2026-11-28T22:47:09.633Z","email":{"sealed":"tESqwySooJiFvuvSwK0alL+t9NDuFYTPIJ9O/M0WAREA6CL+71QsS/WB2KXFoT0kbcwiXCz4wsYtUmc"},"expires_at":"2026-11-29T22:47:09.633Z","verification":"0e36e3fb-d435-4024-bfa8-737a7a249e9a"}}','{"actor":"user:01a22457-483b-76ca-b87a-6965cb793629","contract":"authlog","ip":"sealed:ZilAolXqvuX87uRBXfko2jWZNQ9r3WqFWoinjthB0du/t3mbHA","request_id":"6dc4df34-7bbb-4354-8246-9edd7bca2c06","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906029633000);
INSERT INTO "events" VALUES(26,'user','01a22457-483b-76ca-b87a-6965cb793629',3,'EmailChanged','1','{"EmailChanged":{"at":"2026-11-28T22:47:09.688Z","email":{"sealed":"nnJnLfZVP9tfAqVjRyeM9FpEYofBaHuSZkYUmdNXqXhwZ7TSPQFmoVs0KV9DtwoZCQPsRwOBH0obqBI"},"verification":"0e36e3fb-d435-4024-bfa8-737a7a249e9a"}}','{"actor":"user:01a22457-483b-76ca-b87a-6965cb793629","contract":"authlog","ip":"sealed:w5VZbzCl34TO4T6nUYQKdwKTqLBpmRMeaKlotPCdGgvN2fuPMA","request_id":"b2b660b0-231d-45a7-98e5-555e2c6f61ec","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906029689000);
INSERT INTO "events" VALUES(27,'user','01a22457-483b-76ca-b87a-6965cb793629',4,'SessionsRevoked','1','{"SessionsRevoked":{"at":"2026-11-28T22:47:09.688Z","kept_session":"01a22457-483f-70bc-92f9-b18b4ac73190","reason":"owner","session_epoch":1}}','{"actor":"user:01a22457-483b-76ca-b87a-6965cb793629","contract":"authlog","ip":"sealed:llE41/MrM+rddd0hTrGkuM7yUYnb2DEDTH/PahRWmABhYMGRYw","request_id":"b2b660b0-231d-45a7-98e5-555e2c6f61ec","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906029689000);
INSERT INTO "events" VALUES(28,'user','01a22457-483b-76ca-b87a-6965cb793629',5,'PasswordChanged','1','{"PasswordChanged":{"at":"2026-11-28T22:47:09.693Z","credential":"43605bbe-a2c5-4751-b2e3-a26abf04b1a3","kept_session":"01a22457-483f-70bc-92f9-b18b4ac73190","session_epoch":2}}','{"actor":"user:01a22457-483b-76ca-b87a-6965cb793629","contract":"authlog","ip":"sealed:6OjuTWAhDiEZ8f5ZDNy8eBDvOP7lkEA21ZEz+8MGuFqh5TPLJg","request_id":"351b299d-1178-4642-aa80-5b074fdda67e","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906029693000);
INSERT INTO "events" VALUES(29,'session','01a22457-4881-7b2c-990e-5ebb4d6817bd',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:09.697Z","epoch":2,"expires_at":"2026-11-29T22:47:09.697Z","rotation":null,"user":"01a22457-483b-76ca-b87a-6965cb793629"}}','{"actor":"user:01a22457-483b-76ca-b87a-6965cb793629","contract":"api","ip":"sealed:naBuwTy9pO8g/wQWc+DHa8GFFE3l10BWbsCOTFvz67n47PFIwg","request_id":"a42b7129-c73b-4b9f-9581-bc9322a0c9df","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906029697000);
INSERT INTO "events" VALUES(30,'session','01a22457-4881-7b2c-990e-5ebb4d6817bd',2,'SessionRevoked','1','{"SessionRevoked":{"at":"2026-11-28T22:47:09.712Z","reason":"owner"}}','{"actor":"user:01a22457-483b-76ca-b87a-6965cb793629","contract":"authlog","ip":"sealed:vF8xqxmgwQ/ODVOOVrFppfPjUCGS53vTP86WIUZZGggcpsnpFw","request_id":"d5f4475c-b386-4c07-bee8-dc93e39a9d81","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906029712000);
INSERT INTO "events" VALUES(31,'session','01a22457-489d-77a1-bfc7-213f62de43d2',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:09.725Z","epoch":2,"expires_at":"2026-11-29T22:47:09.725Z","rotation":null,"user":"01a22457-483b-76ca-b87a-6965cb793629"}}','{"actor":"user:01a22457-483b-76ca-b87a-6965cb793629","contract":"api","ip":"sealed:kXds+MOAeLAGYdWttJTkMFQdMXDdYn/0NyiRefzSgS3plVpE0g","request_id":"f3b76d89-906a-47bf-aa61-5a40315c5071","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906029727000);
INSERT INTO "events" VALUES(32,'user','01a22457-483b-76ca-b87a-6965cb793629',6,'SessionsRevoked','1','{"SessionsRevoked":{"at":"2026-11-28T22:47:09.737Z","kept_session":"01a22457-483f-70bc-92f9-b18b4ac73190","reason":"owner","session_epoch":3}}','{"actor":"user:01a22457-483b-76ca-b87a-6965cb793629","contract":"authlog","ip":"sealed:6gfYW+sAQXSnj6o0wLrqi+/b5m+bO3u0upaU8dFkg/l+rQF6ow","request_id":"2d069785-6175-43b7-8304-4aedfa296188","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906029737000);
INSERT INTO "events" VALUES(33,'user','01a22457-483b-76ca-b87a-6965cb793629',7,'UserLocked','1','{"UserLocked":{"at":"2026-11-28T22:47:09.997Z","session_epoch":4}}','{"actor":"operator","contract":"cli","request_id":"14c643d7-926e-4ca8-9331-44c4fcbc64c6","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906030007000);
INSERT INTO "events" VALUES(34,'user','01a22457-483b-76ca-b87a-6965cb793629',8,'UserUnlocked','1','{"UserUnlocked":{"at":"2026-11-28T22:47:10.234Z"}}','{"actor":"operator","contract":"cli","request_id":"4815d0c1-dd4a-43f4-8252-3b197a623370","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906030239000);
INSERT INTO "events" VALUES(35,'session','01a22457-4ab3-79a4-b2e0-3870c5f320d1',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:10.259Z","epoch":4,"expires_at":"2026-12-05T22:47:10.259Z","rotation":"reusable","user":"01a22457-483b-76ca-b87a-6965cb793629"}}','{"actor":"user:01a22457-483b-76ca-b87a-6965cb793629","contract":"users","ip":"sealed:IiRCiRMnw6YgFGf+z9ha2APOJgHLQ6HbsiqiyxrBaPPpubJrDQ","request_id":"8046f913-f272-45f8-87e1-e376e205ada5","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906030259000);
INSERT INTO "events" VALUES(36,'user','01a22457-483b-76ca-b87a-6965cb793629',9,'UserErased','1','{"UserErased":{"at":"2026-11-28T22:47:10.287Z","session_epoch":5}}','{"actor":"user:01a22457-483b-76ca-b87a-6965cb793629","contract":"authlog","ip":"erased","request_id":"957eddf9-ccc9-4e35-8a9a-85cf0d00ef2e","user_id":"01a22457-483b-76ca-b87a-6965cb793629"}',1795906030287000);
INSERT INTO "events" VALUES(37,'user','01a22457-4c26-7e84-814a-9ceac4b0463f',1,'UserRegistered','1','{"UserRegistered":{"at":"2026-11-28T22:47:10.630Z","credential":"7a207e8b-0e70-48d5-869e-ab0deb25dcb5","email":{"sealed":"rwsCbzQxYVudigmO5NZHrnEDZD3pzEiaSMWE+vRUz/Rm+q72hef1J5Liy8ATHLA72x6483Ix2HGtVXCq"},"name":null,"number":3,"phone":null,"role":"user","username":{"sealed":"wrQZt3CvWTcq5Liip7OsOjVD86E/PN80TBQZ29Lb0hD83fpVgVgY4TlXGTwIRsBm"}}}','{"actor":"operator","contract":"cli","request_id":"6190a604-4289-41cc-b0f3-39f322912b39","user_id":"01a22457-4c26-7e84-814a-9ceac4b0463f"}',1795906030662000);
INSERT INTO "events" VALUES(38,'session','01a22457-4c5a-79ce-9a45-07740fe5e7ce',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:10.682Z","epoch":0,"expires_at":"2026-12-01T22:47:10.682Z","rotation":"rotating","user":"01a22457-4c26-7e84-814a-9ceac4b0463f"}}','{"actor":"user:01a22457-4c26-7e84-814a-9ceac4b0463f","contract":"api-auth","ip":"sealed:zIShQVNYvYuRFrCBayua0OEj6MIiKqyAX9WI/ucMd/MX24zKWw","request_id":"d34f2f68-3fa2-4a85-a5e8-cd019ed73f92","user_id":"01a22457-4c26-7e84-814a-9ceac4b0463f"}',1795906030684000);
INSERT INTO "events" VALUES(39,'user','01a22457-4c26-7e84-814a-9ceac4b0463f',2,'PasswordRehashed','1','{"PasswordRehashed":{"at":"2026-11-28T22:47:10.689Z","credential":"ebcff559-a771-4820-85c8-578838dd1928"}}','{"actor":"user:01a22457-4c26-7e84-814a-9ceac4b0463f","contract":"api-auth","ip":"sealed:M7K83aAPbcHYubc3OD3qjQk+zSIOeh62lG+jNUxNY8gwhAW5Hg","request_id":"d34f2f68-3fa2-4a85-a5e8-cd019ed73f92","user_id":"01a22457-4c26-7e84-814a-9ceac4b0463f"}',1795906030690000);
INSERT INTO "events" VALUES(40,'user','01a22457-4dc6-7bf6-8328-e1d63d0eadbc',1,'UserRegistered','1','{"UserRegistered":{"at":"2026-11-28T22:47:11.046Z","credential":"87e6874b-2bec-4ae8-9ca8-b7944cda0f64","email":{"sealed":"6rPEBfRl17lXyFLlkgOiR1swN539oEBVPj2wzGyYH7cR+Avp23zQAsLNAfbs"},"name":null,"number":4,"phone":null,"role":"user","username":{"sealed":"K6Ua6RrnDs9y6PzmUXvJxSIhHNR7NsW1YHMO09R/Mp2K"}}}','{"actor":"user:01a22457-4dc6-7bf6-8328-e1d63d0eadbc","contract":"api-auth","ip":"sealed:f/LZF11dSVM2ZA5LjJqmC7PovRaXB+E46NDqFuXUtoFTf5hbIw","request_id":"f5b47fe8-4d35-4633-a835-890cb4469ba8","user_id":"01a22457-4dc6-7bf6-8328-e1d63d0eadbc"}',1795906031093000);
INSERT INTO "events" VALUES(41,'session','01a22457-4dc6-763d-9eb4-09c69a852a8b',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:11.046Z","epoch":0,"expires_at":"2026-12-01T22:47:11.046Z","rotation":"rotating","user":"01a22457-4dc6-7bf6-8328-e1d63d0eadbc"}}','{"actor":"user:01a22457-4dc6-7bf6-8328-e1d63d0eadbc","contract":"api-auth","ip":"sealed:xX0Io3/9WonartkwE0tUY56UbUWl3N5VX1XAOtr5tdnPD9QEdg","request_id":"f5b47fe8-4d35-4633-a835-890cb4469ba8","user_id":"01a22457-4dc6-7bf6-8328-e1d63d0eadbc"}',1795906031094000);
INSERT INTO "events" VALUES(42,'session','01a22457-4e35-7d23-9fe6-839157be7566',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:11.157Z","epoch":0,"expires_at":"2026-12-01T22:47:11.157Z","rotation":"rotating","user":"01a22457-4dc6-7bf6-8328-e1d63d0eadbc"}}','{"actor":"user:01a22457-4dc6-7bf6-8328-e1d63d0eadbc","contract":"api-auth","ip":"sealed:yabaKoUxUoJyTase4i2JSIAghS2XA7ROwsUy3qkIi9hXQcyAEA","request_id":"de21b6fb-a2f1-4a57-a037-cd9906783054","user_id":"01a22457-4dc6-7bf6-8328-e1d63d0eadbc"}',1795906031158000);
INSERT INTO "events" VALUES(43,'session','01a22457-4e4b-78b7-929e-451072ff3f23',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:11.179Z","epoch":0,"expires_at":"2026-12-05T22:47:11.179Z","rotation":"reusable","user":"01a22457-4dc6-7bf6-8328-e1d63d0eadbc"}}','{"actor":"user:01a22457-4dc6-7bf6-8328-e1d63d0eadbc","contract":"users","ip":"sealed:lnckRXuNlBP4SjSifzGWbMFsrhf3kZxjzElCYYDRuqGl0II0/A","request_id":"09047919-4cfd-4b2c-ae52-386bafa6a5d8","user_id":"01a22457-4dc6-7bf6-8328-e1d63d0eadbc"}',1795906031179000);
INSERT INTO "events" VALUES(44,'session','01a22457-4e87-76b5-9638-0fb30c35a63a',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:11.239Z","epoch":0,"expires_at":"2026-11-29T22:47:11.239Z","rotation":null,"user":"01a22457-4dc6-7bf6-8328-e1d63d0eadbc"}}','{"actor":"user:01a22457-4dc6-7bf6-8328-e1d63d0eadbc","contract":"api","ip":"sealed:ZS8udBN7w3f9mtUOqx2s3idNLENZzopNu4BzWS5OAYcN7pyLAg","request_id":"de8ba565-ca60-4f3f-ab63-89c8aa231cbd","user_id":"01a22457-4dc6-7bf6-8328-e1d63d0eadbc"}',1795906031240000);
INSERT INTO "events" VALUES(45,'session','01a22457-4e8e-78ec-8520-d39c8525494b',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:11.246Z","epoch":0,"expires_at":"2026-11-29T22:47:11.246Z","rotation":null,"user":"01a22457-4dc6-7bf6-8328-e1d63d0eadbc"}}','{"actor":"user:01a22457-4dc6-7bf6-8328-e1d63d0eadbc","contract":"v1-auth","ip":"sealed:yBFW6+HeHxP5sDi3cIwZoIK0cEz10z/xu6AYvaCqZ/y16OF1xQ","request_id":"dc188484-575a-4d31-a6a2-9c5a8e058b61","user_id":"01a22457-4dc6-7bf6-8328-e1d63d0eadbc"}',1795906031246000);
INSERT INTO "events" VALUES(46,'user','01a22457-4e91-770c-b7b0-f5a8a4f6e93f',1,'UserRegistered','1','{"UserRegistered":{"at":"2026-11-28T22:47:11.249Z","credential":"96a4d1fd-f271-4d49-acfb-6cda6522e932","email":{"sealed":"HKsrb1DsL+bB4kelCrgKqV/bMoxMHQlOUwT39uBzBqyvax874UxPVvbCMJPF"},"name":null,"number":5,"phone":null,"role":"user","username":{"sealed":"hi4DQdzVmjlxzlcbB0Eq0G6RwrmcpPsv/nmtt2314nSU"}}}','{"actor":"user:01a22457-4e91-770c-b7b0-f5a8a4f6e93f","contract":"api-auth","ip":"sealed:aJb3PK2C2s4rfnSykQZTL6Q7xw/2jI8hQ936E9iU4DSwthzBOw","request_id":"38444feb-b210-456c-803f-471b477811a4","user_id":"01a22457-4e91-770c-b7b0-f5a8a4f6e93f"}',1795906031257000);
INSERT INTO "events" VALUES(47,'session','01a22457-4e91-7e98-8469-2983ece77cda',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:11.249Z","epoch":0,"expires_at":"2026-12-01T22:47:11.249Z","rotation":"rotating","user":"01a22457-4e91-770c-b7b0-f5a8a4f6e93f"}}','{"actor":"user:01a22457-4e91-770c-b7b0-f5a8a4f6e93f","contract":"api-auth","ip":"sealed:N5B97thZFo9REBa4t6W+dqvG9f1ffEzr8Fd5m6OD9j5KP40aHQ","request_id":"38444feb-b210-456c-803f-471b477811a4","user_id":"01a22457-4e91-770c-b7b0-f5a8a4f6e93f"}',1795906031257000);
INSERT INTO "events" VALUES(48,'session','01a22457-4ec2-7d35-956d-39a40fff2720',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:11.298Z","epoch":0,"expires_at":"2026-12-01T22:47:11.298Z","rotation":"rotating","user":"01a22457-4e91-770c-b7b0-f5a8a4f6e93f"}}','{"actor":"user:01a22457-4e91-770c-b7b0-f5a8a4f6e93f","contract":"api-auth","ip":"sealed:juLURHqF+hGUA7v/FQ0Ek5YbtP8ZPnB1s/MRRrSX8QzySk7f5w","request_id":"18518a2f-37ed-4f14-b43f-be3da257dcfd","user_id":"01a22457-4e91-770c-b7b0-f5a8a4f6e93f"}',1795906031298000);
INSERT INTO "events" VALUES(49,'session','01a22457-4ec6-7735-b7fb-8e1218dd32fa',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:11.302Z","epoch":0,"expires_at":"2026-12-05T22:47:11.302Z","rotation":"reusable","user":"01a22457-4e91-770c-b7b0-f5a8a4f6e93f"}}','{"actor":"user:01a22457-4e91-770c-b7b0-f5a8a4f6e93f","contract":"users","ip":"sealed:ToCSh4DL6eKLTk7vdkXUeDoVn5yLDI1shZlKsPea+RHP9WFJrw","request_id":"c3dd0797-485a-4a92-b00c-fc969b354627","user_id":"01a22457-4e91-770c-b7b0-f5a8a4f6e93f"}',1795906031303000);
INSERT INTO "events" VALUES(50,'session','01a22457-4eca-7968-b38e-eeeedb3ee5d4',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:11.306Z","epoch":0,"expires_at":"2026-11-29T22:47:11.306Z","rotation":null,"user":"01a22457-4e91-770c-b7b0-f5a8a4f6e93f"}}','{"actor":"user:01a22457-4e91-770c-b7b0-f5a8a4f6e93f","contract":"api","ip":"sealed:f7nl9vWdw6YkOcwc+KeylFDy+Dg+QvF7AvdE4OoeMbUTVkv0/Q","request_id":"489d3c25-531c-435d-808d-fa57351ab96b","user_id":"01a22457-4e91-770c-b7b0-f5a8a4f6e93f"}',1795906031307000);
INSERT INTO "events" VALUES(51,'session','01a22457-4ecd-7621-9e30-2c3aeb092963',1,'LoggedIn','1','{"LoggedIn":{"at":"2026-11-28T22:47:11.309Z","epoch":0,"expires_at":"2026-11-29T22:47:11.309Z","rotation":null,"user":"01a22457-4e91-770c-b7b0-f5a8a4f6e93f"}}','{"actor":"user:01a22457-4e91-770c-b7b0-f5a8a4f6e93f","contract":"v1-auth","ip":"sealed:jcvrSMTyfjY96EqFSM7MgTu8bal8aUPsNs66crXiM2AMvYY7ww","request_id":"cdbde525-6060-4270-9a92-2abee65ca148","user_id":"01a22457-4e91-770c-b7b0-f5a8a4f6e93f"}',1795906031309000);
INSERT INTO "events" VALUES(52,'user','01a22457-4f48-7482-946b-70d824722114',1,'UserRegistered','1','{"UserRegistered":{"at":"2026-11-28T22:47:11.432Z","credential":"85eb015f-a509-4986-995a-27cb52ed207d","email":{"sealed":"61pKvl+rQN4EaFPBmOBNNC08MbQ9ro6sYSKwhOqIIZ3LEISkz1/vjRFhW70amw"},"name":null,"number":6,"phone":null,"role":"admin","username":{"sealed":"7YnrnM91UI1HO9aEdEvZQfGlzpoINs09K8I8gGimuhohwQ"}}}','{"actor":"operator","contract":"cli","request_id":"1dba27fc-b0fc-4dfc-9d64-e0b0e7f2b842","user_id":"01a22457-4f48-7482-946b-70d824722114"}',1795906031434000);
INSERT INTO "events" VALUES(53,'user','01a22457-4e91-770c-b7b0-f5a8a4f6e93f',2,'UserLocked','1','{"UserLocked":{"at":"2026-11-28T22:47:11.710Z","session_epoch":1}}','{"actor":"operator","contract":"cli","request_id":"237cfc2f-d1b7-4db3-beca-dd82ac99240c","user_id":"01a22457-4e91-770c-b7b0-f5a8a4f6e93f"}',1795906031711000);
CREATE TABLE finished_upgrades (name TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO "finished_upgrades" VALUES('mailbox-claims');
CREATE TABLE identifier_claims (
    kind   TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    owner  TEXT NOT NULL,
    PRIMARY KEY (kind, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO "identifier_claims" VALUES('email',X'30D8CB81980A9FC8E6224924F11ECECAE0BA2D87D1C120FE1002163E66C0DB61','01a22457-4c26-7e84-814a-9ceac4b0463f');
INSERT INTO "identifier_claims" VALUES('email',X'3E1709A7191E06CDA0423E71B80B3983F4F34E4B4DF28BE1D73EFC250639CF9B','01a22457-4f48-7482-946b-70d824722114');
INSERT INTO "identifier_claims" VALUES('email',X'42A54E4C6830CBA9C16BA99D184DAFCB988F36133018E0ABA85F4B71C73F6A90','01a22457-4e91-770c-b7b0-f5a8a4f6e93f');
INSERT INTO "identifier_claims" VALUES('email',X'773244BA54BB97448566CB593FCAAB8ED88661001F2139FD1590A50DDB69C20C','01a22457-45ab-77b7-a5b6-cd71c14053e9');
INSERT INTO "identifier_claims" VALUES('email',X'CD975D5E6B8BF91092737B6BBDA3D0671CDAF06155D33D759DFEE3F273E6E08D','01a22457-4dc6-7bf6-8328-e1d63d0eadbc');
INSERT INTO "identifier_claims" VALUES('username',X'3DCF883FF5A5B3D358F7BFFDEBB876CA0DE42AC085181B4C0736BF822018BE6A','01a22457-4e91-770c-b7b0-f5a8a4f6e93f');
INSERT INTO "identifier_claims" VALUES('username',X'62070927182A6B24D1D970ED781B9422DB529EF45FB5826FD6DEC02C749AFC78','01a22457-45ab-77b7-a5b6-cd71c14053e9');
INSERT INTO "identifier_claims" VALUES('username',X'8EE1FE80845DA744851D0B4CB7BDDD5DDD1BC204DF0A3250919920C969710062','01a22457-4dc6-7bf6-8328-e1d63d0eadbc');
INSERT INTO "identifier_claims" VALUES('username',X'D55F4368676D499689C1214941B17A0B948BBDCCA17430A629CFF6B0B7026A71','01a22457-4f48-7482-946b-70d824722114');
INSERT INTO "identifier_claims" VALUES('username',X'D651953B87A7812ECCC6B20692A9B6D697F3314329101F7056BD8E5FBAA9672F','01a22457-4c26-7e84-814a-9ceac4b0463f');
CREATE TABLE log_marks (
    number   INTEGER NOT NULL PRIMARY KEY,
    -- Everything that was committed later than the mark has a greater position.
    position INTEGER NOT NULL
) STRICT;
INSERT INTO "log_marks" VALUES(1,0);
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
INSERT INTO "mail_budgets" VALUES(X'6A250252270B9A43A2B04C9C74527520BBFA87F1BEDBF97C42516979E51DC20D','verification-link',1795906389170);
INSERT INTO "mail_budgets" VALUES(X'6A250252270B9A43A2B04C9C74527520BBFA87F1BEDBF97C42516979E51DC20D','reset-link',1795906389503);
INSERT INTO "mail_budgets" VALUES(X'52FC601C135008660DAF6D73CADD0C2FBAE72DD56FF483A7F80C073D90231013','verification-link',1795906389638);
INSERT INTO "mail_budgets" VALUES(X'6A250252270B9A43A2B04C9C74527520BBFA87F1BEDBF97C42516979E51DC20D','refresh-token-reused',1795909629500);
INSERT INTO "mail_budgets" VALUES(X'6A250252270B9A43A2B04C9C74527520BBFA87F1BEDBF97C42516979E51DC20D','password-changed',1795909629565);
INSERT INTO "mail_budgets" VALUES(X'52FC601C135008660DAF6D73CADD0C2FBAE72DD56FF483A7F80C073D90231013','all',1795909629638);
INSERT INTO "mail_budgets" VALUES(X'52FC601C135008660DAF6D73CADD0C2FBAE72DD56FF483A7F80C073D90231013','password-changed',1795909629697);
INSERT INTO "mail_budgets" VALUES(X'6A250252270B9A43A2B04C9C74527520BBFA87F1BEDBF97C42516979E51DC20D','all',1795913229170);
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
    due_at      INTEGER NOT NULL, unacknowledged INTEGER NOT NULL DEFAULT 0,
    UNIQUE (user_id, kind, mailbox)
) STRICT;
CREATE TABLE opaque_tokens (
    digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    session_id TEXT    NOT NULL,
    expires_at INTEGER NOT NULL
, mac BLOB) STRICT, WITHOUT ROWID;
INSERT INTO "opaque_tokens" VALUES(X'9D34524B0C5CAA1F195B9B1EC3B4D475C006C3EF5A644B94C2A55FCD0213F93D','01a22457-4657-72ea-84b2-ca791a4e3d32',1795992429143,X'A3036C56849F699EC6120CC2DBA2AC97');
INSERT INTO "opaque_tokens" VALUES(X'AFF5C6ABA2F1E0D3B78AD3776B47DC592ECB9F64F98B8363FAA6950699A9BA3D','01a22457-4eca-7968-b38e-eeeedb3ee5d4',1795992431306,X'E09E2734BA4DAD21DA5E50E7E842AC2B');
INSERT INTO "opaque_tokens" VALUES(X'C4E23317062A6C37E383C07FCEF48552339B345EC685D4C701F75ADCC205B357','01a22457-4e87-76b5-9638-0fb30c35a63a',1795992431239,X'D625C1BED8695539BB879EEB1681CF50');
CREATE TABLE reset_requests (
    reset_id     TEXT    NOT NULL PRIMARY KEY,
    identifier   TEXT    NOT NULL,
    requested_at INTEGER NOT NULL,
    context      TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    due_at       INTEGER NOT NULL
, admitted INTEGER NOT NULL DEFAULT 0, unacknowledged INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE sealing_key (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    fingerprint BLOB    NOT NULL
) STRICT;
INSERT INTO "sealing_key" VALUES(1,X'E36EB2F891C5FA5319ED14169CD34BDF');
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
, rotated_at INTEGER NOT NULL DEFAULT 0, mac BLOB) STRICT, WITHOUT ROWID;
INSERT INTO "sessions" VALUES('01a22457-45ab-7ead-8794-bc0a111e69b3',1,'01a22457-45ab-77b7-a5b6-cd71c14053e9','api-auth',0,'rotating',0,1795906028971,1795906028971,1796165228971,NULL,1795906028971,X'3010C629922DB10315A033450EEF8E0B');
INSERT INTO "sessions" VALUES('01a22457-45c7-7a10-a1c9-57376f4c40cc',2,'01a22457-45ab-77b7-a5b6-cd71c14053e9','api-auth',0,'rotating',0,1795906028999,1795906028999,1796165228999,1795906029056,1795906028999,X'A98C37F8D3DDA2F730D68130BC9CBCFC');
INSERT INTO "sessions" VALUES('01a22457-4624-7f85-b3d7-c93022c6612d',2,'01a22457-45ab-77b7-a5b6-cd71c14053e9','users',0,'reusable',0,1795906029092,1795906029092,1796510829092,1795906029121,1795906029092,X'1DE0702BBAA7EEAE98340588499448F5');
INSERT INTO "sessions" VALUES('01a22457-4657-72ea-84b2-ca791a4e3d32',2,'01a22457-45ab-77b7-a5b6-cd71c14053e9','api',0,NULL,0,1795906029143,1795906029143,1795992429143,1795906029151,1795906029143,X'EF2CF88E3357BD4EC2DCCB883B6281DA');
INSERT INTO "sessions" VALUES('01a22457-4662-7cd2-b5f6-a72f436ada30',2,'01a22457-45ab-77b7-a5b6-cd71c14053e9','v1-auth',0,NULL,0,1795906029154,1795906029154,1795992429154,1795906029160,1795906029154,X'2B1A589926F1A8D77007F3C172729A39');
INSERT INTO "sessions" VALUES('01a22457-466d-7bcd-88f7-29ca1b1c1d71',4,'01a22457-45ab-77b7-a5b6-cd71c14053e9','api-auth',0,'rotating',2,1795906029165,1795906029496,1796165229496,1795906029498,1795906029496,X'0550DC1864DF840613495771F4C9C1DE');
INSERT INTO "sessions" VALUES('01a22457-4837-7d56-827c-635b1d3dcd89',1,'01a22457-45ab-77b7-a5b6-cd71c14053e9','api-auth',3,'rotating',0,1795906029623,1795906029623,1796165229623,NULL,1795906029623,X'E26CFE83F445AAA3CD586EA8A07E05C0');
INSERT INTO "sessions" VALUES('01a22457-4c5a-79ce-9a45-07740fe5e7ce',1,'01a22457-4c26-7e84-814a-9ceac4b0463f','api-auth',0,'rotating',0,1795906030682,1795906030682,1796165230682,NULL,1795906030682,X'9F8B7C6D82A6151AFA0D28E2A4C0D19C');
INSERT INTO "sessions" VALUES('01a22457-4dc6-763d-9eb4-09c69a852a8b',1,'01a22457-4dc6-7bf6-8328-e1d63d0eadbc','api-auth',0,'rotating',0,1795906031046,1795906031046,1796165231046,NULL,1795906031046,X'D8546326ADEE0A2AA55B2017E3659736');
INSERT INTO "sessions" VALUES('01a22457-4e35-7d23-9fe6-839157be7566',1,'01a22457-4dc6-7bf6-8328-e1d63d0eadbc','api-auth',0,'rotating',0,1795906031157,1795906031157,1796165231157,NULL,1795906031157,X'317FE47F33480CAD8B97AACEAB143E88');
INSERT INTO "sessions" VALUES('01a22457-4e4b-78b7-929e-451072ff3f23',1,'01a22457-4dc6-7bf6-8328-e1d63d0eadbc','users',0,'reusable',0,1795906031179,1795906031179,1796510831179,NULL,1795906031179,X'C84C3C05CCBE0EE75E54664AFFD11001');
INSERT INTO "sessions" VALUES('01a22457-4e87-76b5-9638-0fb30c35a63a',1,'01a22457-4dc6-7bf6-8328-e1d63d0eadbc','api',0,NULL,0,1795906031239,1795906031239,1795992431239,NULL,1795906031239,X'F8734ADADBA2530B5FB079FE7A5E8F47');
INSERT INTO "sessions" VALUES('01a22457-4e8e-78ec-8520-d39c8525494b',1,'01a22457-4dc6-7bf6-8328-e1d63d0eadbc','v1-auth',0,NULL,0,1795906031246,1795906031246,1795992431246,NULL,1795906031246,X'D9FF36AF12DB51ED37DD9CA1C80C4DE9');
INSERT INTO "sessions" VALUES('01a22457-4e91-7e98-8469-2983ece77cda',1,'01a22457-4e91-770c-b7b0-f5a8a4f6e93f','api-auth',0,'rotating',0,1795906031249,1795906031249,1796165231249,NULL,1795906031249,X'CD3316B32157D59FD8C8307267995CDB');
INSERT INTO "sessions" VALUES('01a22457-4ec2-7d35-956d-39a40fff2720',1,'01a22457-4e91-770c-b7b0-f5a8a4f6e93f','api-auth',0,'rotating',0,1795906031298,1795906031298,1796165231298,NULL,1795906031298,X'7DD5F12FA38400415AF0EC765EDBDA20');
INSERT INTO "sessions" VALUES('01a22457-4ec6-7735-b7fb-8e1218dd32fa',1,'01a22457-4e91-770c-b7b0-f5a8a4f6e93f','users',0,'reusable',0,1795906031302,1795906031302,1796510831302,NULL,1795906031302,X'A20CF90FBBF34DFE445D1A6F7CAF2DE6');
INSERT INTO "sessions" VALUES('01a22457-4eca-7968-b38e-eeeedb3ee5d4',1,'01a22457-4e91-770c-b7b0-f5a8a4f6e93f','api',0,NULL,0,1795906031306,1795906031306,1795992431306,NULL,1795906031306,X'1BDF367BC09DB9A4803707E55A41E018');
INSERT INTO "sessions" VALUES('01a22457-4ecd-7621-9e30-2c3aeb092963',1,'01a22457-4e91-770c-b7b0-f5a8a4f6e93f','v1-auth',0,NULL,0,1795906031309,1795906031309,1795992431309,NULL,1795906031309,X'D25E8C60EA8CAC56EBBD0F75A30CF774');
CREATE TABLE shared_secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "shared_secrets" VALUES('checkpoint-key',X'EAD80AD780E72C7A3F30713C469253C0D61620D0876C712AC45F81D01EA31F6049BF8B2DD5F485D938C70DE62553481A6C2F7764380146E5152B65428940D10B649F83BA06E8948DA69728359F074C6BC995D8CC00C9DF780119FEC9DF876D00754FD07DF4D1924A72FEED13096BEB51');
INSERT INTO "shared_secrets" VALUES('identifier-pepper',X'91C0E0DAAC3D84FB8AE932E749F21DA70A5DCF16059105A38C2D1494D481745818D75EEA0EA2DB84C8EBC31596F3CC96727F4AEA4C175DC3161F66F12E');
INSERT INTO "shared_secrets" VALUES('reset-token-key',X'32C1AD84457C7E717ADB54687F078571E7ACAB96F93267A97061AA76FF4F08BD0ED2B8C2933B6E3A0967F0C1D3B65169280BF099DEA0FFA672FA8069');
INSERT INTO "shared_secrets" VALUES('signing-key-set',X'291B29A9246C3FE831E0823B57E37FCE06060EC66C0ECE98BA487287D7C7748C6AE86FBFD2CA55A308362DEA5A2ECBC73C28FCF1178C1086E7B211E8D586576401CB50E6FF53CC1840BADE4B841BC00F3798B5258712A9E7E1F50F626FF87CD2E111E0D2D36A7CD770AD76FC834A17D519BC06F57836441B2088FDFF84D4092F75FEAB1579A29F8D5F8751329A3E5AD2FA81A9832572FE2B4D65FD2163AE6B6417AD7F1AFE854AD334F19E7E3B88E0C109267688ED4EF1B62CFE9E302D818CA37E77337D13703AAE1D52A92CAD2D5CAF5AFBADBD6D16DC769B3487FA16C5AA0C9ECC49667F');
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
INSERT INTO "signing_keys" VALUES('qOnAndIaxxv7y6_5i2WoFYLlOoC7zDHNmFayzmEcl58','ES256',1795906028803,NULL,NULL,X'336A4DFB15B56F62F7A40ED822C27A20F2BF1827D8E670844F42C92D350C5948853C08C5C3B5C858BD6051C6F2620536A535DF324546B47A7C0DA7C62AAD712740AF62175EF763F5A49F4AE8FBA0DF6C4C7BC574E35AF3BBDC5A10669EF37D15D6686820542E7C351B19A4ACF0E73AC76A0948ADC64D70BA4613E09B0E3C9732CB8C6E8C1BC8282835CD2F37AD6AF0CDB5EFEC2E49BEA159B664DEE1EA9B9363DFC9B6FFFB4A');
CREATE TABLE subject_keys (
    user_id TEXT NOT NULL PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "subject_keys" VALUES('01a22457-45ab-77b7-a5b6-cd71c14053e9',X'8DEBCCEB5CB5B5DF6381CAC0C1B61446F1E93552C58D6A94B79DFBF7486FC8878434405C59DBCC8F1349543688FD4D1B65C899EE0C162EBFBC5A7038');
INSERT INTO "subject_keys" VALUES('01a22457-4c26-7e84-814a-9ceac4b0463f',X'E2B0C52C4933ACC0C97A173711ADC3AC9695696BDB6097F3E095615F247AAEC584781C481E3772AD5EF437C3FA0AAD01243C728D39A6F4A6EE2347CF');
INSERT INTO "subject_keys" VALUES('01a22457-4dc6-7bf6-8328-e1d63d0eadbc',X'A8D5BE4966B434238A0A127D1F0F6A977F42A67B75FE82B0FAFDBB51FE40DAA06CBDBAAE23E0994ADD19EC6624C6C366085BCBF286D54759F1A91676');
INSERT INTO "subject_keys" VALUES('01a22457-4e91-770c-b7b0-f5a8a4f6e93f',X'5F18C8E226E4F92C8160670595AB599903157AFA61337D2D14184A5873A582DA76784DC1EFF0B1E6C03DF2FF35EBDF9199927C26F8612B8EA8F32311');
INSERT INTO "subject_keys" VALUES('01a22457-4f48-7482-946b-70d824722114',X'319BAD6986B278CF4BE997D01974AD8248AD617FF9B3AA854509293BEFDB3A2C341CAAB1FE9DB821C5BD7C20F81ADE2D0A6904C73F6F8ED2C6FE611E');
CREATE TABLE unfinished_erasures (
    user_id TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
CREATE TABLE write_probe (
    filler BLOB NOT NULL
) STRICT;
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
CREATE INDEX mail_queue_due ON mail_queue (due_at);
CREATE INDEX mail_budgets_used_until ON mail_budgets (used_until);
CREATE INDEX account_places_in_order ON account_places (place) WHERE listed = 1;
CREATE TRIGGER accounts_have_places AFTER INSERT ON accounts BEGIN
    INSERT INTO account_places (number, listed) VALUES (new.number, 1)
    ON CONFLICT (number) DO UPDATE SET listed = 1;
END;
CREATE TRIGGER erased_accounts_keep_places AFTER DELETE ON accounts BEGIN
    UPDATE account_places SET listed = 0 WHERE number = old.number;
END;
CREATE INDEX sessions_in_order ON sessions (user_id, epoch, session_id);
COMMIT;
