//! Instants outside the range of this program's calendar, in rows that the database's owner wrote.

use authlog_application::ports::{Check, Directory as _, Doctor as _, Identifier};

use super::open_unsequenced;
use crate::store_behaviour::people::Person;
use crate::store_behaviour::system::now;

#[tokio::test]
async fn a_row_with_an_instant_out_of_range_is_treated_as_missing() {
    let world = open_unsequenced().await;
    let [ada, eve] = ["ada", "eve"].map(Person::called);
    for person in [&ada, &eve] {
        person.registers(&*world.store).await;
    }
    for instant in ["infinity", "-infinity", "12000-01-01"] {
        let sql = format!("UPDATE accounts SET created_at = '{instant}' WHERE username = 'ada'");
        sqlx::query(&sql).execute(&world.sql).await.unwrap();
        let found = world
            .store
            .find_account(&Identifier::Username(ada.username()))
            .await;
        assert!(found.unwrap().is_none(), "{instant}");
        let found = world
            .store
            .find_account(&Identifier::Username(eve.username()))
            .await;
        assert!(found.unwrap().is_some(), "{instant}");
        let diagnosis = world.store.examine(false, now(), &|_| {}).await.unwrap();
        assert_eq!(
            diagnosis.divergences[&Check::Accounts].count,
            1,
            "{instant}"
        );
    }
}
