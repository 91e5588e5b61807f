//! The house in PostgreSQL: the contract of all houses, and what only many processes over one
//! server can break.
//!
//! Goal: whoever writes, and whatever becomes of connections and server, the ledger has no gap,
//! work is leased once, and what was answered is there.
//! Method: a private server; two houses opened apart stand for two processes.

#![allow(clippy::unwrap_used)]

use exchange::HouseId;
use store::contract::{check_contract, check_tenants};
use store::{PostgresHouse, PostgresPlace};
use testdb::Server;

fn place(url: String) -> PostgresPlace {
    PostgresPlace { url, ..PostgresPlace::default() }
}

async fn open(url: &str, house: &str) -> PostgresHouse {
    PostgresHouse::open(&place(url.to_owned()), &HouseId::from(house)).await.unwrap()
}

#[tokio::test]
async fn the_contract_is_kept() {
    let Some(database) = Server::shared() else { return };
    let url = database.url();
    let house = open(&url, "hospital").await;
    check_contract(house, async |house| {
        drop(house);
        open(&url, "hospital").await
    })
    .await;
}

#[tokio::test]
async fn houses_of_one_database_share_nothing() {
    let Some(database) = Server::shared() else { return };
    let one = open(&database.url(), "one").await;
    let other = one.tenant(&HouseId::from("other")).await.unwrap();
    check_tenants(one, other).await;
}
